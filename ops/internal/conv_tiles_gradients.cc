#include "core/base/parallel.h"
#include "ops/internal/conv_tile_geometry.h"
#include "ops/internal/conv_tiles.h"

namespace tamer {

#if TAMER_TILES

namespace {

using tiles::Geometry;
using tiles::Panel;
using tiles::PanelTiles;
using tiles::PanelTilesOf;
using tiles::Permute;
using tiles::RowsOf;
using tiles::TileFactors;
using tiles::TileResult;

// Each row of a window's gradient, a run of numbers that lie together in dx, is
// a product of dy's channels and the filters; it is added where it belongs. A
// tile's rows are places of one column of y, whose runs don't overlap.
class InputGradient : public Kernel {
 public:
  explicit InputGradient(const ConvShape& shape)
      : g_(shape), panels_(PanelTilesOf(g_.run)), team_(TeamSize()) {
    for (int64_t kh = 0; kh < g_.kh; ++kh) {
      for (const PanelTiles& tiles : panels_) {
        const Panel& panel = tiles.panel;
        for (int64_t f = 0; f < g_.out; ++f) {
          for (int64_t i = 0; i < panel.width(); ++i) {
            index_.push_back(i < panel.columns
                                 ? static_cast<int32_t>(g_.WeightAt(
                                       f, kh * g_.run + panel.column + i))
                                 : -1);
          }
        }
      }
    }
  }

  absl::Status Run(const KernelArgs& args) override {
    char* scratch = static_cast<char*>(args.scratch);
    float* packed = reinterpret_cast<float*>(scratch);
    Permute(index_, args.inputs[1].floats(), packed);
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      float* padded = reinterpret_cast<float*>(scratch + PackedBytes() +
                                               thread * g_.PaddedBytes());
      const IndexRange images = OwnedPart(g_.batch, thread, threads);
      for (int64_t b = images.begin; b < images.end; ++b) {
        float* raw = args.outputs[0].floats() + b * g_.RawSample();
        float* dx = g_.padded() ? padded : raw;
        std::memset(dx, 0, g_.h * g_.w * g_.in * 4);
        AddImage(args.inputs[0].floats() + b * g_.YSample(), packed, dx);
        if (!g_.padded()) continue;
        for (int64_t i = 0; i < g_.raw_h; ++i) {
          std::memcpy(raw + i * g_.raw_w * g_.in,
                      dx + ((g_.top + i) * g_.w + g_.left) * g_.in,
                      g_.raw_w * g_.in * 4);
        }
      }
    });
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override {
    return PackedBytes() + team_ * g_.PaddedBytes();
  }

 private:
  int64_t PackedBytes() const {
    return Aligned(static_cast<int64_t>(index_.size()) * 4);
  }

  void AddImage(const float* dy, const float* b, float* dx) const {
    TileFactors factors;
    factors.a_row = g_.ow * g_.out;
    factors.a_depth = 1;
    factors.depth = g_.out;
    TileResult result;
    result.row = g_.sh * g_.w * g_.in;
    result.add = true;
    for (int64_t kh = 0; kh < g_.kh; ++kh) {
      for (const PanelTiles& tiles : panels_) {
        const Panel& panel = tiles.panel;
        const int64_t most = RowsOf(g_.oh, panel);
        factors.b = b;
        factors.b_depth = panel.width();
        result.mask = panel.mask;
        for (int64_t ox = 0; ox < g_.ow; ++ox) {
          for (int64_t oy = 0; oy < g_.oh;) {
            const int64_t r = std::min(most, g_.oh - oy);
            factors.a = dy + (oy * g_.ow + ox) * g_.out;
            result.to =
                dx + ((oy * g_.sh + kh * g_.dh) * g_.w + ox * g_.sw) * g_.in +
                panel.column;
            tiles.tile[r](factors, result);
            oy += r;
          }
        }
        b += g_.out * panel.width();
      }
    }
  }

  const Geometry g_;
  const std::vector<PanelTiles> panels_;
  const int team_;
  std::vector<int32_t> index_;
};

// Threads share the rows of the gradient, (row of the kernel, place in it,
// channel), not the minibatch: nothing is left to be added, and no number
// depends on how many threads there are.
class WeightGradient : public Kernel {
 public:
  WeightGradient(const ConvShape& shape, bool bias)
      : g_(shape),
        panels_(PanelTilesOf(shape.out)),
        bias_(bias),
        team_(TeamSize()) {
    for (int64_t f = 0; f < g_.out; ++f) {
      for (int64_t c = 0; c < g_.in; ++c) {
        for (int64_t place = 0; place < g_.kh * g_.kw; ++place) {
          index_.push_back(
              static_cast<int32_t>((place * g_.in + c) * g_.out + f));
        }
      }
    }
  }

  absl::Status Run(const KernelArgs& args) override {
    char* scratch = static_cast<char*>(args.scratch);
    float* sums = reinterpret_cast<float*>(scratch);
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      float* padded = reinterpret_cast<float*>(scratch + SumsBytes() +
                                               thread * g_.PaddedBytes());
      const IndexRange rows = OwnedPart(g_.kh * g_.run, thread, threads);
      for (int64_t b = 0; b < g_.batch; ++b) {
        const float* x = g_.Image(args.inputs[0].floats(), b, padded);
        AddImage(x, args.inputs[1].floats() + b * g_.YSample(), rows, b > 0,
                 sums);
      }
      if (bias_ && thread == threads - 1) SumBias(args);
    });
    Permute(index_, sums, args.outputs[0].floats());
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override {
    return SumsBytes() + team_ * g_.PaddedBytes();
  }

 private:
  int64_t SumsBytes() const { return Aligned(g_.weights() * 4); }

  void AddImage(const float* x, const float* dy, IndexRange rows, bool add,
                float* sums) const {
    TileFactors factors;
    factors.a_strip = g_.sh * g_.w * g_.in;
    factors.a_row = 1;
    factors.a_depth = g_.sw * g_.in;
    factors.b_strip = g_.ow * g_.out;
    factors.b_depth = g_.out;
    factors.strips = g_.oh;
    factors.depth = g_.ow;
    TileResult result;
    result.row = g_.out;
    result.add = add;
    for (const PanelTiles& tiles : panels_) {
      const Panel& panel = tiles.panel;
      factors.b = dy + panel.column;
      result.mask = panel.mask;
      for (int64_t k = rows.begin; k < rows.end;) {
        // A tile stays within one row of the kernel.
        const int64_t kh = k / g_.run, at = k % g_.run;
        const int64_t left = std::min(rows.end - k, g_.run - at);
        const int64_t r = std::min<int64_t>(tiles::kMostConvRows, left);
        factors.a = x + kh * g_.dh * g_.w * g_.in + at;
        result.to = sums + k * g_.out + panel.column;
        tiles.tile[r](factors, result);
        k += r;
      }
    }
  }

  // Ones times dy is its sum; a tile of one row, whose left factor never moves.
  void SumBias(const KernelArgs& args) const {
    const float one = 1;
    TileFactors factors;
    factors.a = &one;
    factors.b_depth = g_.out;
    factors.b_strip = g_.YSample();
    factors.strips = g_.batch;
    factors.depth = g_.oh * g_.ow;
    for (const PanelTiles& tiles : panels_) {
      TileResult result;
      result.mask = tiles.panel.mask;
      result.to = args.outputs[1].floats() + tiles.panel.column;
      factors.b = args.inputs[1].floats() + tiles.panel.column;
      tiles.tile[1](factors, result);
    }
  }

  const Geometry g_;
  const std::vector<PanelTiles> panels_;
  const bool bias_;
  const int team_;
  std::vector<int32_t> index_;
};

}  // namespace

std::unique_ptr<Kernel> MakeTiledInputGradient(const ConvShape& shape) {
  return std::make_unique<InputGradient>(shape);
}

std::unique_ptr<Kernel> MakeTiledWeightGradient(const ConvShape& shape,
                                                bool bias) {
  return std::make_unique<WeightGradient>(shape, bias);
}

#else  // no tiles

std::unique_ptr<Kernel> MakeTiledInputGradient(const ConvShape&) {
  return nullptr;
}
std::unique_ptr<Kernel> MakeTiledWeightGradient(const ConvShape&, bool) {
  return nullptr;
}

#endif  // TAMER_TILES

}  // namespace tamer
