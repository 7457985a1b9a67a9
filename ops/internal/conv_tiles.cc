#include "ops/internal/conv_tiles.h"

#include "core/base/parallel.h"
#include "ops/internal/conv_tile_geometry.h"

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

class Forward : public Kernel {
 public:
  Forward(const ConvShape& shape, const ConvSettings& settings)
      : g_(shape),
        panels_(PanelTilesOf(shape.out)),
        bias_(settings.bias),
        relu_(settings.activation == op::RELU),
        team_(TeamSize()) {
    for (const PanelTiles& tiles : panels_) {
      const Panel& panel = tiles.panel;
      starts_.push_back(static_cast<int64_t>(index_.size()));
      for (int64_t k = 0; k < g_.kh * g_.run; ++k) {
        for (int64_t i = 0; i < panel.width(); ++i) {
          index_.push_back(i < panel.columns ? static_cast<int32_t>(g_.WeightAt(
                                                   panel.column + i, k))
                                             : -1);
        }
      }
    }
  }

  absl::Status Run(const KernelArgs& args) override {
    char* scratch = static_cast<char*>(args.scratch);
    float* packed = reinterpret_cast<float*>(scratch);
    Permute(index_, args.inputs[1].floats(), packed);
    float* bias = reinterpret_cast<float*>(scratch + PackedBytes());
    if (bias_) {
      std::memset(bias, 0, BiasBytes());
      std::memcpy(bias, args.inputs[2].data, g_.out * 4);
    }
    char* images = scratch + PackedBytes() + BiasBytes();
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      float* image =
          reinterpret_cast<float*>(images + thread * g_.PaddedBytes());
      const IndexRange rows = OwnedPart(g_.batch * g_.oh, thread, threads);
      for (int64_t row = rows.begin; row < rows.end;) {
        const int64_t b = row / g_.oh;
        const int64_t end = std::min(rows.end, (b + 1) * g_.oh);
        const float* x = g_.Image(args.inputs[0].floats(), b, image);
        for (size_t p = 0; p < panels_.size(); ++p) {
          RunPanel(p, x, packed + starts_[p], bias_ ? bias : nullptr,
                   args.outputs[0].floats() + row * g_.ow * g_.out,
                   {row - b * g_.oh, end - b * g_.oh});
        }
        row = end;
      }
    });
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override {
    return PackedBytes() + BiasBytes() + team_ * g_.PaddedBytes();
  }

 private:
  int64_t PackedBytes() const {
    return Aligned(static_cast<int64_t>(index_.size()) * 4);
  }
  int64_t BiasBytes() const {
    return bias_ ? Aligned((g_.out + tiles::kPanel) * 4) : 0;
  }

  // Rows [rows.begin, rows.end) of an image; y is the first of them.
  void RunPanel(size_t p, const float* x, const float* b, const float* bias,
                float* y, IndexRange rows) const {
    const Panel& panel = panels_[p].panel;
    const int64_t most = RowsOf(g_.ow, panel);
    TileFactors factors;
    factors.a_strip = g_.dh * g_.w * g_.in;
    factors.a_row = g_.sw * g_.in;
    factors.a_depth = 1;
    factors.b = b;
    factors.b_strip = g_.run * panel.width();
    factors.b_depth = panel.width();
    factors.strips = g_.kh;
    factors.depth = g_.run;
    if (bias != nullptr) factors.start = bias + panel.column;
    TileResult result;
    result.row = g_.out;
    result.relu = relu_;
    result.mask = panel.mask;
    for (int64_t oy = rows.begin; oy < rows.end; ++oy) {
      for (int64_t ox = 0; ox < g_.ow;) {
        const int64_t r = std::min(most, g_.ow - ox);
        factors.a = x + (oy * g_.sh * g_.w + ox * g_.sw) * g_.in;
        result.to =
            y + ((oy - rows.begin) * g_.ow + ox) * g_.out + panel.column;
        panels_[p].tile[r](factors, result);
        ox += r;
      }
    }
  }

  const Geometry g_;
  const std::vector<PanelTiles> panels_;
  const bool bias_, relu_;
  const int team_;
  std::vector<int32_t> index_;   // of the packed weight, panel by panel
  std::vector<int64_t> starts_;  // of the panels in it
};

}  // namespace

bool CanTileConv(const ConvShape& shape) {
  constexpr int64_t kMostWeights = int64_t{1} << 22;
  if (!HasTiles(false) || !__builtin_cpu_supports("fma")) return false;
  if (!shape.channels_last || shape.groups > 1 || shape.axes.size() > 2 ||
      shape.axes.back().dilation > 1) {
    return false;
  }
  return (shape.in % 16 != 0 || shape.out % 16 != 0) &&
         shape.weight().elements() <= kMostWeights;
}

std::unique_ptr<Kernel> MakeTiledConv(const ConvShape& shape,
                                      const ConvSettings& settings) {
  return std::make_unique<Forward>(shape, settings);
}

#else  // no tiles

bool CanTileConv(const ConvShape&) { return false; }
std::unique_ptr<Kernel> MakeTiledConv(const ConvShape&, const ConvSettings&) {
  return nullptr;
}

#endif  // TAMER_TILES

}  // namespace tamer
