#include "ops/internal/matmul.h"

#include <omp.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/base/parallel.h"
#include "core/base/tensor.h"
#include "ops/internal/activations.h"
#include "ops/internal/fixed_matmul.h"
#include "ops/internal/prefetch.h"
#include "ops/internal/primitives.h"
#include "ops/internal/rows_matmul.h"
#include "ops/internal/tile_product.h"

namespace tamer {
namespace {

// Numbers of B that are worth rounding to BF16, and rows of A.
constexpr int64_t kLargeMatrix = 1 << 15;
constexpr int64_t kFewRows = 32;
// Numbers of a parameter that is worth halving between threads.
constexpr int64_t kOwnedMatrix = 1 << 14;
// Fewer multiply-adds than this are over before OpenMP has begun and ended a
// region, and two cores without a common cache have passed on the result.
constexpr int64_t kWorthARegion = 1 << 18;

// B is halved if it is large, and A so small that passing on halves of C costs
// less than passing on halves of B.
bool LargeParameter(const MatmulShape& shape) {
  return !shape.transpose_a && shape.b_rows * shape.b_columns >= kOwnedMatrix &&
         4 * shape.m() <= shape.b_rows;
}

ProductSettings SettingsOf(const MatmulShape& shape) {
  ProductSettings settings;
  settings.bias = shape.bias;
  settings.activation = shape.activation;
  settings.slope = shape.slope;
  settings.precision = shape.precision;
  return settings;
}

// z among a kernel's inputs; null if there is none.
const float* SlopeInput(const MatmulShape& shape, const KernelArgs& args) {
  return shape.slope_of == op::LINEAR ? nullptr : args.inputs.back().floats();
}

// One primitive, on the whole team or, if small, on this thread.
class WholeMatmul : public Kernel {
 public:
  explicit WholeMatmul(const MatmulShape& shape)
      : shape_(shape),
        product_(
            {shape.a_rows, shape.a_columns, shape.a_columns, shape.transpose_a},
            {shape.b_rows, shape.b_columns, shape.b_columns, shape.transpose_b},
            {shape.m(), shape.n(), shape.n(), false}, SettingsOf(shape)) {}

  absl::Status Run(const KernelArgs& args) override {
    float* c = args.outputs[0].floats();
    TAMER_RETURN_IF_ERROR(Multiply(args));
    const float* z = SlopeInput(shape_, args);
    if (z == nullptr) return absl::OkStatus();
    ParallelFor(shape_.m() * shape_.n(), 1 << 14, [&](int64_t i, int64_t end) {
      MultiplyBySlope(shape_.slope_of, shape_.slope, c + i, z + i, end - i,
                      c + i);
    });
    return absl::OkStatus();
  }
  int64_t scratch_bytes() const override { return product_.scratch_bytes(); }

  static bool IsSmall(const MatmulShape& shape) {
    return shape.m() * shape.k() * shape.n() < kWorthARegion;
  }

 private:
  absl::Status Multiply(const KernelArgs& args) {
    const OneThread guard(IsSmall(shape_));
    return product_.Run(args.inputs[0].floats(), args.inputs[1].floats(),
                        shape_.bias ? args.inputs[2].floats() : nullptr,
                        args.outputs[0].floats(), args.scratch);
  }

  const MatmulShape shape_;
  Product product_;
};

// Whether HalvedMatmul can multiply by tiles, whose products are sums alone.
bool ByTiles(const MatmulShape& shape) {
  return shape.m() >= kFewRows && TileProduct::Can(shape.precision);
}

// A share's product: by tiles with BF16, where B is transposed (a tenth faster
// than oneDNN 2.6) and where A has many zeros, else by oneDNN.
class ShareProduct {
 public:
  ShareProduct(const MatrixView& a, const MatrixView& b, const MatrixView& c,
               const ProductSettings& settings, bool by_tiles) {
    if (by_tiles) tiles_.emplace(a, b, c, settings.precision);
    if (!by_tiles || (settings.precision == FP32 && !b.transposed)) {
      dense_.emplace(a, b, c, settings);
    }
  }

  int64_t scratch_bytes() const {
    return std::max(tiles_ ? tiles_->scratch_bytes() : 0,
                    dense_ ? dense_->scratch_bytes() : 0);
  }
  absl::Status Run(const float* a, const float* b, const float* bias, float* c,
                   void* scratch) {
    if (!dense_ || (tiles_ && tiles_->Pays(a, scratch))) {
      tiles_->Run(a, b, c, scratch);
      return absl::OkStatus();
    }
    return dense_->Run(a, b, bias, c, scratch);
  }

 private:
  std::optional<TileProduct> tiles_;
  std::optional<Product> dense_;
};

// What a thread multiplies, on its own.
struct Share {
  ShareProduct product;
  int64_t a, b, c;      // where in the matrices it begins
  IndexRange columns;   // of C
  int64_t scratch = 0;  // where in the kernel's
};

// The kernels that give rows of B to threads. Shares are made for the team at
// hand, but run on any.
class HalvedMatmul : public Kernel {
 protected:
  explicit HalvedMatmul(const MatmulShape& shape)
      : shape_(shape), shares_a_half_(std::max(1, omp_get_max_threads() / 2)) {}

  int64_t scratch_bytes() const override { return scratch_bytes_; }

  // The rows of B are cut in so many parts.
  int64_t Reserve(int64_t bytes) {
    const int64_t offset = scratch_bytes_;
    scratch_bytes_ += Aligned(bytes);
    return offset;
  }
  void Add(Share share) {
    share.scratch = Reserve(share.product.scratch_bytes());
    shares_.push_back(std::move(share));
    failures_.emplace_back();
  }
  // Multiplies share `i`; what fails is told by Failure().
  void Multiply(size_t i, const KernelArgs& args, const float* bias, float* c) {
    Share& share = shares_[i];
    absl::Status status = share.product.Run(
        args.inputs[0].floats() + share.a, args.inputs[1].floats() + share.b,
        bias, c + share.c, static_cast<char*>(args.scratch) + share.scratch);
    if (!status.ok()) failures_[i] = std::move(status);
  }
  absl::Status Failure() const {
    for (const absl::Status& status : failures_) {
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  const MatmulShape shape_;
  const int shares_a_half_;
  std::vector<Share> shares_;

 private:
  std::vector<absl::Status> failures_;
  int64_t scratch_bytes_ = 0;
};

// C = A B', a thread's rows of B giving its columns of C.
class ColumnsMatmul : public HalvedMatmul {
 public:
  explicit ColumnsMatmul(const MatmulShape& shape) : HalvedMatmul(shape) {
    const OneThread guard;
    const int64_t m = shape.m(), k = shape.k(), n = shape.n();
    const int parts = 2 * shares_a_half_;
    const bool by_tiles = ByTiles(shape);
    sums_alone_ = by_tiles;
    for (int part = 0; part < parts; ++part) {
      const IndexRange range = OwnedPart(n, part, parts);
      if (range.size() == 0) continue;
      Add({ShareProduct({m, k, k, false}, {range.size(), k, k, true},
                        {m, range.size(), n, false}, SettingsOf(shape),
                        by_tiles),
           0, range.begin * k, range.begin, range});
    }
  }

  absl::Status Run(const KernelArgs& args) override {
    const float* bias = shape_.bias ? args.inputs[2].floats() : nullptr;
    float* c = args.outputs[0].floats();
    const float* z = SlopeInput(shape_, args);
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      for (size_t i = thread; i < shares_.size(); i += threads) {
        const IndexRange columns = shares_[i].columns;
        const float* own_bias =
            bias == nullptr ? nullptr : bias + columns.begin;
        Multiply(i, args, own_bias, c);
        if (sums_alone_) ActivateSums(shape_, args, columns);
        for (int64_t r = 0; z != nullptr && r < shape_.m(); ++r) {
          const int64_t at = r * shape_.n() + columns.begin;
          MultiplyBySlope(shape_.slope_of, shape_.slope, c + at, z + at,
                          columns.size(), c + at);
        }
      }
    });
    return Failure();
  }

 private:
  bool sums_alone_ = false;  // that is what products give, not activated
};

// C = A B: the halves of the inner dimension are multiplied apart and added.
class InnerMatmul : public HalvedMatmul {
 public:
  explicit InnerMatmul(const MatmulShape& shape) : HalvedMatmul(shape) {
    const OneThread guard;
    const int64_t m = shape.m(), k = shape.k(), n = shape.n();
    ProductSettings settings;
    settings.precision = shape.precision;
    settings.gather_a = true;
    for (int64_t& half : halves_) {
      half = Reserve(m * n * static_cast<int64_t>(sizeof(float)));
    }
    for (int half = 0; half < 2; ++half) {
      const IndexRange inner = OwnedPart(k, half, 2);
      const int64_t c = (halves_[half] - halves_[0]) / sizeof(float);
      for (int part = 0; part < shares_a_half_; ++part) {
        const IndexRange range = OwnedPart(n, part, shares_a_half_);
        if (range.size() == 0) continue;
        Add({ShareProduct({m, inner.size(), k, false},
                          {inner.size(), range.size(), n, false},
                          {m, range.size(), n, false}, settings,
                          ByTiles(shape)),
             inner.begin, inner.begin * n + range.begin, c + range.begin,
             range});
      }
    }
  }

  absl::Status Run(const KernelArgs& args) override {
    float* sums =
        reinterpret_cast<float*>(static_cast<char*>(args.scratch) + halves_[0]);
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      for (size_t i = thread; i < shares_.size(); i += threads) {
        Multiply(i, args, nullptr, sums);
      }
      TeamBarrier();
      Combine(OwnedPart(shape_.m(), thread, threads), args);
    });
    return Failure();
  }

 private:
  // These rows of C from the halves' products. Cutting columns instead, which
  // the next layer's threads own, is slower: at every seam the hardware fetches
  // lines ahead that the other core is writing.
  void Combine(IndexRange rows, const KernelArgs& args) const {
    const int64_t n = shape_.n(), begin = rows.begin * n;
    const char* base = static_cast<const char*>(args.scratch);
    const float* bias = shape_.bias ? args.inputs[2].floats() : nullptr;
    const float* one =
        reinterpret_cast<const float*>(base + halves_[0]) + begin;
    const float* other =
        reinterpret_cast<const float*>(base + halves_[1]) + begin;
    float* sum = args.outputs[0].floats() + begin;
    const RowPrefetcher ones(one, rows.size(), n, n);
    const RowPrefetcher others(other, rows.size(), n, n);
    for (int64_t r = 0; r < rows.size(); ++r, sum += n) {
      ones.Enter(r);
      others.Enter(r);
      if (r + 1 < rows.size()) PrefetchToWrite(sum + n, n);
      ActivatedSum(shape_.activation, shape_.slope, one + r * n, other + r * n,
                   bias, n, sum);
    }
  }

  int64_t halves_[2];  // where in scratch their products are
};

// A matmul into output 1 or, if there is none, output 0; then the activation
// from there to output 0.
class ActivatedAfter : public Kernel {
 public:
  ActivatedAfter(std::unique_ptr<Kernel> matmul,
                 std::unique_ptr<Kernel> activation)
      : matmul_(std::move(matmul)), activation_(std::move(activation)) {}

  absl::Status Run(const KernelArgs& args) override {
    const size_t sum = args.outputs.size() - 1;
    KernelArgs part = args;
    part.outputs = args.outputs.subspan(sum, 1);
    TAMER_RETURN_IF_ERROR(matmul_->Run(part));
    part.inputs = args.outputs.subspan(sum, 1);
    part.outputs = args.outputs.subspan(0, 1);
    return activation_->Run(part);
  }
  int64_t scratch_bytes() const override {
    return std::max(matmul_->scratch_bytes(), activation_->scratch_bytes());
  }

 private:
  std::unique_ptr<Kernel> matmul_, activation_;
};

std::unique_ptr<Kernel> NewMatmul(const MatmulShape& shape) {
  if (shape.fixed_b) {
    std::unique_ptr<Kernel> fixed = MakeFixedMatmul(shape);
    if (fixed != nullptr) return fixed;
  }
  if (!LargeParameter(shape)) {
    const OneThread guard(WholeMatmul::IsSmall(shape));
    return std::make_unique<WholeMatmul>(shape);
  }
  if (shape.transpose_b) return std::make_unique<ColumnsMatmul>(shape);
  return std::make_unique<InnerMatmul>(shape);
}

}  // namespace

void ActivateSums(const MatmulShape& shape, const KernelArgs& args,
                  IndexRange columns) {
  if (!shape.bias && shape.activation == op::LINEAR) return;
  const float* bias =
      shape.bias ? args.inputs[2].floats() + columns.begin : nullptr;
  for (int64_t r = 0; r < shape.m(); ++r) {
    float* row = args.outputs[0].floats() + r * shape.n() + columns.begin;
    ActivatedSum(shape.activation, shape.slope, row, nullptr, bias,
                 columns.size(), row);
  }
}

absl::StatusOr<std::unique_ptr<Kernel>> MakeMatmul(const MatmulShape& shape,
                                                   bool keep_argument) {
  TAMER_RETURN_IF_ERROR(CheckPrecision(shape.precision));
  MatmulShape sum = shape;
  // Rounding B must cost less than it saves.
  if (shape.b_rows * shape.b_columns < kLargeMatrix ||
      (shape.m() < kFewRows && !shape.fixed_b)) {
    sum.precision = FP32;
  }
  if (auto rows = MakeRowsMatmul(sum, keep_argument)) return rows;
  const bool sums = shape.fixed_b ||
                    (LargeParameter(sum) && (!sum.transpose_b || ByTiles(sum)));
  const bool after =
      keep_argument || (sums && !ActivatesInSum(shape.activation));
  if (after) sum.activation = op::LINEAR;
  TAMER_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel,
                         CatchDnnl("matmul", [&] { return NewMatmul(sum); }));
  if (!after) return kernel;
  TAMER_ASSIGN_OR_RETURN(
      std::unique_ptr<Kernel> activation,
      MakeActivation(shape.activation, shape.slope, shape.m() * shape.n()));
  kernel = std::make_unique<ActivatedAfter>(std::move(kernel),
                                            std::move(activation));
  return kernel;
}

}  // namespace tamer
