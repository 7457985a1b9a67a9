#include "ops/internal/gradient_product.h"

#include <omp.h>

#include <algorithm>

#include "core/base/tensor.h"

namespace tamer {
namespace {

// Rows of a block: many, as each block reads all of b, but so that there are
// blocks for many threads.
int64_t BlockHeight(int64_t rows) {
  return std::clamp<int64_t>(rows / 16, 16, 128);
}

}  // namespace

GradientShape GradientShapeOf(const KernelSpec& spec,
                              const op::UpdateSettings& settings) {
  GradientShape shape;
  shape.rows = spec.inputs[0].shape.dim(0);
  shape.columns = spec.inputs[0].shape.back();
  shape.precision = settings.precision();
  for (int i = 0; i < settings.product_size(); ++i) {
    GradientShape::Term term;
    const int factors = settings.product(i).row_sum() ? 1 : 2;
    term.depth = spec.inputs[factors * (i + 1)].shape.rows();  // b's
    term.factor = settings.product(i).factor();
    if (settings.product(i).divide_by_batch()) {
      term.factor /= static_cast<float>(spec.batch);
    }
    shape.terms.push_back(term);
  }
  return shape;
}

GradientBlocks::GradientBlocks(const GradientShape& shape)
    : shape_(shape), team_(TeamSize()) {
  const OneThread guard;  // a block is one thread's
  const int64_t k = shape.rows, n = shape.columns;
  const int64_t height = BlockHeight(k);
  int64_t most = 0;  // scratch of a product
  // Blocks don't depend on the number of threads, and so bits don't.
  for (int half = 0; half < 2; ++half) {
    const IndexRange owned = OwnedPart(k, half, 2);
    for (int64_t row = owned.begin; row < owned.end; row += height) {
      Block block;
      block.rows = {row, std::min(owned.end, row + height)};
      const int64_t rows = block.rows.size();
      for (const GradientShape::Term& term : shape.terms) {
        ProductSettings settings;
        settings.scale = term.factor;
        settings.add = !block.products.empty();
        settings.precision = shape.precision;
        block.products.emplace_back(MatrixView{term.depth, rows, k, true},
                                    MatrixView{term.depth, n, n, false},
                                    MatrixView{rows, n, n, false}, settings);
        most = std::max(most, block.products.back().scratch_bytes());
      }
      blocks_.push_back(std::move(block));
    }
  }
  team_ = std::min(team_, static_cast<int>(blocks_.size()));
  gradient_bytes_ = Aligned(std::min(k, height) * n * int64_t{sizeof(float)});
  part_bytes_ = gradient_bytes_ + Aligned(most);
}

const float* GradientBlocks::Compute(Block& block, int thread,
                                     const KernelArgs& args) {
  char* part = static_cast<char*>(args.scratch) + thread * part_bytes_;
  float* gradient = reinterpret_cast<float*>(part);
  for (size_t i = 0; i < block.products.size(); ++i) {
    absl::Status status = block.products[i].Run(
        args.inputs[1 + 2 * i].floats() + block.rows.begin,
        args.inputs[2 + 2 * i].floats(), nullptr, gradient,
        part + gradient_bytes_);
    if (!status.ok()) block.status = std::move(status);
  }
  return gradient;
}

absl::Status GradientBlocks::Failure() const {
  for (const Block& block : blocks_) {
    if (!block.status.ok()) return block.status;
  }
  return absl::OkStatus();
}

}  // namespace tamer
