#include "ops/internal/fixed_matmul.h"

#include "core/base/parallel.h"
#include "core/base/tensor.h"
#include "ops/internal/fixed_row.h"
#include "ops/internal/panels.h"
#include "ops/internal/scratch.h"

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
  FixedMatmul(const MatmulShape& shape, bool alone)
      : shape_(shape),
        depth_(tiles::DepthOf<Kind>(shape.k())),
        alone_(alone),
        left_(scratch_.Reserve(
            kPairs ? shape.m() * depth_ * int64_t{sizeof(Element)} : 0)),
        team_(TeamSize()),
        rooms_(scratch_.Reserve(team_ * RoomBytes())),
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
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      const tiles::Strip<Element> strip = {Left(args), depth_, 1, depth_};
      tiles::Factors<Element> factors = {
          &strip, 1,          static_cast<const Element*>(packed_.data()),
          depth_, shape_.n(), nullptr};
      // One row has more zeros than several have in common.
      const Element* last = strip.a + (shape_.m() - 1) * depth_;
      if (tiles::CountZeros<Kind>(last, depth_) > depth_ / 8) {
        factors.kept =
            Scratch::At<int32_t>(args.scratch, rooms_ + thread * RoomBytes());
      }
      const int64_t panels = (shape_.n() + kPanel - 1) / kPanel;
      const IndexRange own = OwnedPart(panels, thread, threads);
      // A few samples' zeros are looked for once, for all panels.
      if (factors.kept != nullptr && shape_.m() < tiles::kRows) {
        Multiply(args, factors, own);
        return;
      }
      // The other way than last time: what a core's cache has kept of B comes
      // first. Always the same way, each panel would push out the one that is
      // needed next, where all of them are a little larger than that cache.
      for (int64_t i = 0; i < own.size(); ++i) {
        const int64_t panel = from_the_right_ ? own.end - 1 - i : own.begin + i;
        // Zeros that one panel hasn't met the next won't either.
        if (!Multiply(args, factors, {panel, panel + 1})) {
          factors.kept = nullptr;
        }
      }
    });
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override { return scratch_.bytes(); }

 private:
  using Element = typename Kind::Element;
  static constexpr bool kPairs = Kind::kPacked == 2;

  // A thread's, for a search; a line lies between it and the next one's.
  int64_t RoomBytes() const {
    return Aligned(tiles::KeptRoom(depth_) * int64_t{sizeof(int32_t)}) +
           Buffer::kAlignment;
  }

  // These rows of A, for all threads to read.
  void PackPairs(const KernelArgs& args, IndexRange rows) const {
    if constexpr (kPairs) {
      if (rows.size() == 0) return;
      tiles::PackLeft<Kind>(
          args.inputs[0].floats() + rows.begin * shape_.k(),
          {rows.size(), shape_.k(), shape_.k(), false}, depth_,
          Scratch::At<Element>(args.scratch, left_) + rows.begin * depth_);
    }
  }

  const Element* Left(const KernelArgs& args) const {
    if constexpr (kPairs) {
      return Scratch::At<Element>(args.scratch, left_);
    } else {
      return args.inputs[0].floats();
    }
  }

  // These panels of C, of factors of the whole. Returns whether zeros were left
  // out.
  bool Multiply(const KernelArgs& args, tiles::Factors<Element> factors,
                IndexRange panels) const {
    const int64_t column = panels.begin * kPanel;
    if (panels.size() == 0) return false;
    factors.b += column * depth_;
    factors.columns = std::min(panels.end * kPanel, shape_.n()) - column;
    float* c = args.outputs[0].floats() + column;
    const bool some = tiles::AllTiles<Kind>(factors, {0, shape_.m()},
                                            tiles::StoreSinks{c, shape_.n()});
    ActivateSums(shape_, args, {column, column + factors.columns});
    return some;
  }

  const MatmulShape shape_;
  const int64_t depth_;
  const bool alone_;
  Scratch scratch_;
  const int64_t left_;  // A in pairs
  const int team_;      // threads at most: each has a room
  const int64_t rooms_;
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
  const bool alone = shape.m() * shape.k() * shape.n() < kWorthATeam;
  if (shape.m() == 1) return MakeFixedRow(shape, alone);
  if (bf16) return std::make_unique<FixedMatmul<tiles::Pairs>>(shape, alone);
  return std::make_unique<FixedMatmul<tiles::Singles>>(shape, alone);
}

#else

std::unique_ptr<Kernel> MakeFixedMatmul(const MatmulShape&) { return nullptr; }

#endif  // TAMER_TILES

}  // namespace tamer
