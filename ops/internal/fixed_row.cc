#include "ops/internal/fixed_row.h"

#include "core/base/parallel.h"
#include "core/base/tensor.h"
#include "ops/internal/panels.h"
#include "ops/internal/scratch.h"

namespace tamer {

#if TAMER_TILES

namespace {

using tiles::kLanes, tiles::kPanel;

// A tile's vectors at most.
constexpr int kWidest = 16;
// Half of the second-level cache that a core of today has at least.
constexpr int64_t kFitsACore = 512 << 10;

TAMER_BEGIN_TILES

// How wide panels are, 256 columns at most, of which each of `threads` gets as
// many.
int64_t WidthOfPanels(int64_t columns, int threads) {
  const int64_t most = int64_t{kWidest} * kLanes * threads;
  const int64_t panels = (columns + most - 1) / most * threads;
  return tiles::InLanes((columns + panels - 1) / panels);
}

template <typename Kind>
class FixedRow : public Kernel {
 public:
  FixedRow(const MatmulShape& shape, bool alone)
      : shape_(shape),
        depth_(tiles::DepthOf<Kind>(shape.k())),
        team_(alone ? 1 : TeamSize()),
        rooms_(scratch_.Reserve(team_ * RoomBytes())),
        packed_(depth_ * tiles::InLanes(shape.n()) * kBytes) {}

  absl::Status Run(const KernelArgs& args) override {
    if (panel_ == 0) Pack(args);
    from_the_right_ = !from_the_right_;
    OnTeam(team_ == 1, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      const int64_t panels = (shape_.n() + panel_ - 1) / panel_;
      const IndexRange own = OwnedPart(panels, thread, threads);
      if (own.size() > 0) Multiply(args, own, rooms_ + thread * RoomBytes());
    });
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override { return scratch_.bytes(); }

 private:
  using Element = typename Kind::Element;
  static constexpr bool kPairs = Kind::kPacked == 2;
  static constexpr int64_t kBytes = sizeof(Element);

  // A thread's: A in pairs and what is found in it. A line lies between it and
  // the next one's.
  int64_t RoomBytes() const {
    return LeftBytes() +
           Aligned(tiles::KeptRoom(depth_) * int64_t{sizeof(int32_t)}) +
           Buffer::kAlignment;
  }
  int64_t LeftBytes() const { return kPairs ? Aligned(depth_ * kBytes) : 0; }

  // Packs B in panels, wide ones if the first sample has zeros: what is left of
  // B is read faster the longer it goes on. Narrow ones can be read in another
  // order each time, which helps where all is read and a core's cache is a
  // little too small for it.
  void Pack(const KernelArgs& args) {
    const int64_t zeros =
        tiles::CountZeros<tiles::Singles>(args.inputs[0].floats(), shape_.k());
    const bool wide =
        zeros > shape_.k() / 8 || packed_.bytes() < team_ * kFitsACore;
    panel_ = wide ? WidthOfPanels(shape_.n(), team_) : kPanel;
    tiles::PackRight<Kind>(args.inputs[1].floats(),
                           {shape_.k(), shape_.n(), shape_.n(), false},
                           static_cast<Element*>(packed_.data()), panel_);
  }

  // These panels of C.
  void Multiply(const KernelArgs& args, IndexRange panels, int64_t room) const {
    const tiles::Strip<Element> row = {Left(args, room), depth_, 1, depth_};
    tiles::Factors<Element> factors = {&row, 1, nullptr, depth_, shape_.n()};
    factors.kept = Scratch::At<int32_t>(args.scratch, room + LeftBytes());
    tiles::Kept kept;
    const bool some = tiles::FindKept<Kind, 1>(factors, 0, &kept);
    for (int64_t i = 0; i < panels.size(); ++i) {
      // The other way than last time: what a core's cache has kept of B comes
      // first.
      const int64_t panel =
          from_the_right_ ? panels.end - 1 - i : panels.begin + i;
      MultiplyPanel(args, row, some ? &kept : nullptr, panel * panel_);
    }
  }

  // The panel from `column` on; null: all depths are kept.
  void MultiplyPanel(const KernelArgs& args, const tiles::Strip<Element>& row,
                     const tiles::Kept* kept, int64_t column) const {
    const int64_t columns = std::min(panel_, shape_.n() - column);
    const int64_t vectors = tiles::InLanes(columns) / kLanes;
    const Element* b =
        static_cast<const Element*>(packed_.data()) + column * depth_;
    float* c = args.outputs[0].floats() + column;
    const tiles::StoreSink sink = {c, shape_.n(),
                                   tiles::MaskOf((columns - 1) % kLanes + 1)};
    if (kept != nullptr) {
      tiles::TileOfWidth<Kind, 1, kWidest, true>(&row, 1, kept, 0, b, vectors,
                                                 sink);
    } else {
      tiles::TileOfWidth<Kind, 1, kWidest, false>(&row, 1, nullptr, 0, b,
                                                  vectors, sink);
    }
    ActivateSums(shape_, args, {column, column + columns});
  }

  // A: in pairs, each thread makes its own sooner than it would get another's.
  const Element* Left(const KernelArgs& args, int64_t room) const {
    if constexpr (kPairs) {
      Element* pairs = Scratch::At<Element>(args.scratch, room);
      tiles::PackLeft<Kind>(args.inputs[0].floats(),
                            {1, shape_.k(), shape_.k(), false}, depth_, pairs);
      return pairs;
    } else {
      return args.inputs[0].floats();
    }
  }

  const MatmulShape shape_;
  const int64_t depth_;
  const int team_;  // threads at most: each has a room
  Scratch scratch_;
  const int64_t rooms_;
  Buffer packed_;
  int64_t panel_ = 0;  // columns of a panel; 0: not yet packed
  bool from_the_right_ = false;
};

TAMER_END_TILES

}  // namespace

std::unique_ptr<Kernel> MakeFixedRow(const MatmulShape& shape, bool alone) {
  if (shape.precision == BF16) {
    return std::make_unique<FixedRow<tiles::Pairs>>(shape, alone);
  }
  return std::make_unique<FixedRow<tiles::Singles>>(shape, alone);
}

#else

std::unique_ptr<Kernel> MakeFixedRow(const MatmulShape&, bool) {
  return nullptr;
}

#endif  // TAMER_TILES

}  // namespace tamer
