#include "ops/internal/rows_matmul.h"

#include "core/base/parallel.h"
#include "core/base/tensor.h"
#include "ops/internal/activations.h"
#include "ops/internal/panels.h"

namespace tamer {

#if TAMER_TILES

namespace {

// Below so many rows packing B costs more than a few percent of the product.
constexpr int64_t kManyRows = 256;
// B's panels are read again for each strip of rows: from the second-level cache
// if they aren't larger than this.
constexpr int64_t kLargestFactor = 1 << 17;
constexpr int64_t kBlockRows = 8 * tiles::kRows;

TAMER_BEGIN_TILES

template <typename Kind>
class RowsMatmul : public Kernel {
 public:
  RowsMatmul(const MatmulShape& shape, bool keep_argument)
      : shape_(shape),
        keep_argument_(keep_argument),
        depth_(tiles::DepthOf<Kind>(shape.k())),
        team_(TeamSize()),
        right_bytes_(Bytes(depth_ * tiles::InLanes(shape.n()))),
        part_bytes_(right_bytes_ + (kPairs ? Bytes(kBlockRows * depth_) : 0)) {}

  absl::Status Run(const KernelArgs& args) override {
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      // Whole strips for each; how they are cut changes no sum.
      const int64_t strips = (shape_.m() + tiles::kRows - 1) / tiles::kRows;
      const IndexRange own = OwnedPart(strips, thread, threads);
      const int64_t end = std::min(shape_.m(), own.end * tiles::kRows);
      if (own.begin * tiles::kRows >= end) return;
      char* part = static_cast<char*>(args.scratch) + thread * part_bytes_;
      Element* right = reinterpret_cast<Element*>(part);
      PackB(args.inputs[1].floats(), right);
      for (int64_t row = own.begin * tiles::kRows; row < end;
           row += kBlockRows) {
        const IndexRange rows = {row, std::min(end, row + kBlockRows)};
        Multiply(args, rows, right, part + right_bytes_);
        Finish(args, rows);
      }
    });
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override { return team_ * part_bytes_; }

 private:
  using Element = typename Kind::Element;
  static constexpr bool kPairs = Kind::kPacked == 2;

  static int64_t Bytes(int64_t elements) {
    return Aligned(elements * static_cast<int64_t>(sizeof(Element)));
  }

  void PackB(const float* b, Element* to) const {
    const MatrixView view = {shape_.b_rows, shape_.b_columns, shape_.b_columns,
                             shape_.transpose_b};
    if (shape_.transpose_b) {
      tiles::PackRightTransposed<Kind>(b, view, to);
    } else {
      tiles::PackRight<Kind>(b, view, to);
    }
  }

  void Multiply(const KernelArgs& args, IndexRange rows, const Element* right,
                void* packed) const {
    const float* a = args.inputs[0].floats() + rows.begin * shape_.k();
    const Element* left;
    if constexpr (kPairs) {
      tiles::PackLeft<Kind>(a, {rows.size(), shape_.k(), shape_.k(), false}, depth_,
                      static_cast<Element*>(packed));
      left = static_cast<const Element*>(packed);
    } else {
      left = a;
    }
    const tiles::Strip<Element> strip = {left, depth_, 1, depth_};
    float* c = args.outputs[keep_argument_ ? 1 : 0].floats();
    tiles::AllTiles<Kind>(
        {&strip, 1, right, depth_, shape_.n()}, {0, rows.size()},
        tiles::StoreSinks{c + rows.begin * shape_.n(), shape_.n()});
  }

  // What follows the product, on rows that have just been made.
  void Finish(const KernelArgs& args, IndexRange rows) const {
    const int64_t n = shape_.n(), begin = rows.begin * n;
    float* y = args.outputs[0].floats() + begin;
    float* sum = keep_argument_ ? args.outputs[1].floats() + begin : y;
    if (shape_.bias) {
      const float* bias = args.inputs[2].floats();
      for (int64_t r = 0; r < rows.size(); ++r) {
        ActivatedSum(op::LINEAR, 0, sum + r * n, nullptr, bias, n, sum + r * n);
      }
    }
    if (shape_.activation != op::LINEAR) {
      ActivatedSum(shape_.activation, shape_.slope, sum, nullptr, nullptr,
                   rows.size() * n, y);
    }
    if (shape_.slope_of != op::LINEAR) {
      MultiplyBySlope(shape_.slope_of, shape_.slope, y,
                      args.inputs.back().floats() + begin, rows.size() * n, y);
    }
  }

  const MatmulShape shape_;
  const bool keep_argument_;
  const int64_t depth_;
  const int team_;
  const int64_t right_bytes_, part_bytes_;  // of a thread's scratch
};

TAMER_END_TILES

}  // namespace

std::unique_ptr<Kernel> MakeRowsMatmul(const MatmulShape& shape,
                                       bool keep_argument) {
  const bool bf16 = shape.precision == BF16;
  if (!HasTiles(bf16) || shape.transpose_a || shape.m() < kManyRows ||
      shape.k() * shape.n() > kLargestFactor ||
      !ActivatesInSum(shape.activation)) {
    return nullptr;
  }
  if (bf16) {
    return std::make_unique<RowsMatmul<tiles::Pairs>>(shape, keep_argument);
  }
  return std::make_unique<RowsMatmul<tiles::Singles>>(shape, keep_argument);
}

#else

std::unique_ptr<Kernel> MakeRowsMatmul(const MatmulShape&, bool) {
  return nullptr;
}

#endif  // TAMER_TILES

}  // namespace tamer
