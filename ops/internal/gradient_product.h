#ifndef TAMER_OPS_INTERNAL_GRADIENT_PRODUCT_H_
#define TAMER_OPS_INTERNAL_GRADIENT_PRODUCT_H_

#include <algorithm>
#include <memory>
#include <vector>

#include "core/base/parallel.h"
#include "ops/internal/matmul.h"
#include "proto/ops/update.pb.h"

// A gradient that is a sum of products of matrices, sum_i factor_i * a_i' b_i,
// made a block of rows at a time: by oneDNN into a thread's own memory, where
// an update rule finds it. Works on every CPU; see tile_update.h for where the
// gradient never leaves the registers.

namespace tamer {

struct GradientShape {
  struct Term {
    int64_t depth = 0;  // rows of a and b
    float factor = 1;
  };
  int64_t rows = 0, columns = 0;  // of the gradient, [in, units]
  std::vector<Term> terms;
  Precision precision = FP32;
};

// What `settings.product` and the inputs' shapes say; inputs 1, 2, 3, … of the
// update are a_0, b_0, a_1, …
GradientShape GradientShapeOf(const KernelSpec& spec,
                              const op::UpdateSettings& settings);

class GradientBlocks {
 public:
  // May throw dnnl::error: call within CatchDnnl.
  explicit GradientBlocks(const GradientShape& shape);

  int64_t scratch_bytes() const { return team_ * part_bytes_; }

  // Calls use(first_row, rows, gradient) for each block, from the threads that
  // own its rows; `gradient` is [rows, columns].
  template <typename Use>
  absl::Status ForEach(const KernelArgs& args, const Use& use) {
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      const IndexRange owned = OwnedPart(shape_.rows, thread, threads);
      for (Block& block : blocks_) {
        if (block.rows.begin < owned.begin || block.rows.begin >= owned.end) {
          continue;
        }
        use(block.rows.begin, block.rows.size(), Compute(block, thread, args));
      }
    });
    return Failure();
  }

 private:
  struct Block {
    IndexRange rows;
    std::vector<Product> products;  // a term each
    absl::Status status;
  };

  // The block's gradient, in the thread's part of scratch.
  const float* Compute(Block& block, int thread, const KernelArgs& args);
  absl::Status Failure() const;

  const GradientShape shape_;
  std::vector<Block> blocks_;
  int team_;  // threads at most: each has a part of scratch
  // A part of scratch: the gradient, then what the products need.
  int64_t gradient_bytes_ = 0, part_bytes_ = 0;
};

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_GRADIENT_PRODUCT_H_
