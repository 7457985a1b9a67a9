#include "ops/internal/fixed_matmul.h"

#include "core/base/parallel.h"
#include "core/base/tensor.h"
#include "ops/internal/activations.h"
#include "ops/internal/panels.h"

namespace tamer {

#if TAMER_TILES

namespace {

using tiles::kPanel;

// Fewer multiply-adds than this are over before a second thread has begun.
constexpr int64_t kWorthATeam = 1 << 14;

TAMER_BEGIN_TILES

template <typename Kind>
class FixedMatmul : public Kernel {
 public:
  explicit FixedMatmul(const MatmulShape& shape)
      : shape_(shape),
        depth_(tiles::DepthOf<Kind>(shape.k())),
        alone_(shape.m() * shape.k() * shape.n() < kWorthATeam),
        packed_(depth_ * tiles::InLanes(shape.n()) *
                static_cast<int64_t>(sizeof(Element))) {}

  absl::Status Run(const KernelArgs& args) override {
    if (!prepared_) {
      tiles::PackRight<Kind>(args.inputs[1].floats(),
                             {shape_.k(), shape_.n(), shape_.n(), false},
                             static_cast<Element*>(packed_.data()));
      prepared_ = true;
    }
    from_the_right_ = !from_the_right_;
    OnTeam(alone_, [&](int thread, int threads) {
      if (kPairs) {
        PackPairs(args, OwnedPart(shape_.m(), thread, threads));
        TeamBarrier();
      }
      const int64_t panels = (shape_.n() + kPanel - 1) / kPanel;
      const IndexRange own = OwnedPart(panels, thread, threads);
      // The other way than last time: what a core's cache has kept of B comes
      // first. Always the same way, each panel would push out the one that is
      // needed next, where all of them are a little larger than that cache.
      for (int64_t i = 0; i < own.size(); ++i) {
        const int64_t panel = from_the_right_ ? own.end - 1 - i : own.begin + i;
        Multiply(args,
                 {panel * kPanel, std::min(shape_.n(), (panel + 1) * kPanel)});
      }
    });
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override {
    return kPairs ? shape_.m() * depth_ * static_cast<int64_t>(sizeof(Element))
                  : 0;
  }

 private:
  using Element = typename Kind::Element;
  static constexpr bool kPairs = Kind::kPacked == 2;

  // These rows of A, for all threads to read.
  void PackPairs(const KernelArgs& args, IndexRange rows) const {
    if constexpr (kPairs) {
      if (rows.size() == 0) return;
      tiles::PackLeft<Kind>(
          args.inputs[0].floats() + rows.begin * shape_.k(),
          {rows.size(), shape_.k(), shape_.k(), false}, depth_,
          static_cast<Element*>(args.scratch) + rows.begin * depth_);
    }
  }

  // These columns of C, a panel.
  void Multiply(const KernelArgs& args, IndexRange columns) const {
    const Element* left;
    if constexpr (kPairs) {
      left = static_cast<const Element*>(args.scratch);
    } else {
      left = args.inputs[0].floats();
    }
    const tiles::Strip<Element> strip = {left, depth_, 1, depth_};
    const Element* right =
        static_cast<const Element*>(packed_.data()) + columns.begin * depth_;
    float* c = args.outputs[0].floats() + columns.begin;
    tiles::AllTiles<Kind>({&strip, 1, right, depth_, columns.size()},
                          {0, shape_.m()}, tiles::StoreSinks{c, shape_.n()});
    if (!shape_.bias && shape_.activation == op::LINEAR) return;
    const float* bias =
        shape_.bias ? args.inputs[2].floats() + columns.begin : nullptr;
    for (int64_t r = 0; r < shape_.m(); ++r) {
      float* row = c + r * shape_.n();
      ActivatedSum(shape_.activation, shape_.slope, row, nullptr, bias,
                   columns.size(), row);
    }
  }

  const MatmulShape shape_;
  const int64_t depth_;
  const bool alone_;
  Buffer packed_;
  bool prepared_ = false;
  bool from_the_right_ = false;
};

TAMER_END_TILES

}  // namespace

std::unique_ptr<Kernel> MakeFixedMatmul(const MatmulShape& shape) {
  const bool bf16 = shape.precision == BF16;
  if (!HasTiles(bf16) || shape.transpose_a || shape.transpose_b ||
      shape.slope_of != op::LINEAR) {
    return nullptr;
  }
  if (bf16) return std::make_unique<FixedMatmul<tiles::Pairs>>(shape);
  return std::make_unique<FixedMatmul<tiles::Singles>>(shape);
}

#else

std::unique_ptr<Kernel> MakeFixedMatmul(const MatmulShape&) { return nullptr; }

#endif  // TAMER_TILES

}  // namespace tamer
