// Random views of images, the heart of contrastive learning.

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/base/random.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/views.pb.h"

namespace tamer {
namespace {

struct Images {
  int64_t rows = 0, channels = 0, height = 0, width = 0;
  int64_t pixels() const { return channels * height * width; }
};

// Of [B, C, H, W], [B, s, s] or [B, s * s]; no channels if it is none of these.
Images ImagesOf(const Shape& shape) {
  const int rank = shape.rank();
  if (rank < 2 || rank > 4) return {};
  for (int i = 1; i < rank; ++i) {
    if (shape.dim(i) < 1) return {};
  }
  if (rank == 4) {
    return {shape.dim(0), shape.dim(1), shape.dim(2), shape.dim(3)};
  }
  if (rank == 3) return {shape.dim(0), 1, shape.dim(1), shape.dim(2)};
  const auto side = static_cast<int64_t>(
      std::lround(std::sqrt(static_cast<double>(shape.dim(1)))));
  if (side * side != shape.dim(1)) return {};
  return {shape.dim(0), 1, side, side};
}

// The random numbers of one sample, in order.
class Draws {
 public:
  Draws(uint64_t key, uint64_t step, int64_t sample)
      : key_(key), step_(step), at_(static_cast<uint64_t>(sample) * kEach) {}

  // Uniform in [low, high).
  double Uniform(double low, double high) {
    constexpr uint64_t kSteps = uint64_t{1} << 32;
    const double unit =
        static_cast<double>(RandomBelow(key_, step_, at_++, kSteps)) / kSteps;
    return low + (high - low) * unit;
  }
  int64_t Below(int64_t bound) {
    return static_cast<int64_t>(
        RandomBelow(key_, step_, at_++, static_cast<uint64_t>(bound)));
  }

 private:
  static constexpr uint64_t kEach = 16;  // draws a sample at most
  const uint64_t key_, step_;
  uint64_t at_;
};

// Where pixel i of a view stems from along one side: (i - shift) * step + from.
struct Line {
  double from = 0, step = 1;
  int64_t shift = 0;
};

// A view's geometry and tone.
struct Look {
  Line x, y;
  float gain = 1, offset = 0;
  // What is erased: rows [top, bottom), columns [left, right).
  int64_t top = 0, bottom = 0, left = 0, right = 0;
};

// Part [from, from + kept) of `size` pixels, spread over all of them.
Line Part(double from, double kept, int64_t size) {
  const double step = kept / static_cast<double>(size);
  return {from + 0.5 * step - 0.5, step, 0};
}

Look DrawLook(const op::RandomView& view, const Images& images, Draws draws) {
  Look look;
  const auto width = static_cast<double>(images.width);
  const auto height = static_cast<double>(images.height);
  if (view.crop() < 1) {
    const double share = draws.Uniform(view.crop(), 1);
    const double aspect =
        std::exp(draws.Uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
    const double kept_x = std::min(1.0, std::sqrt(share * aspect)) * width;
    const double kept_y = std::min(1.0, std::sqrt(share / aspect)) * height;
    look.x = Part(draws.Uniform(0, width - kept_x), kept_x, images.width);
    look.y = Part(draws.Uniform(0, height - kept_y), kept_y, images.height);
  }
  if (view.flip() > 0 && draws.Uniform(0, 1) < view.flip()) {
    look.x.from += look.x.step * (width - 1);
    look.x.step = -look.x.step;
  }
  if (view.shift() > 0) {
    const int64_t most = view.shift();
    look.x.shift = draws.Below(2 * most + 1) - most;
    look.y.shift = draws.Below(2 * most + 1) - most;
  }
  if (view.contrast() > 0) {
    look.gain = static_cast<float>(
        draws.Uniform(1 - view.contrast(), 1 + view.contrast()));
  }
  if (view.brightness() > 0) {
    look.offset = static_cast<float>(
        draws.Uniform(-view.brightness(), view.brightness()));
  }
  if (view.erase() > 0) {
    const double side = std::sqrt(double{view.erase()});
    const auto rows = std::max<int64_t>(1, std::lround(side * height));
    const auto columns = std::max<int64_t>(1, std::lround(side * width));
    look.top = draws.Below(images.height - rows + 1);
    look.bottom = look.top + rows;
    look.left = draws.Below(images.width - columns + 1);
    look.right = look.left + columns;
  }
  return look;
}

// The pixels that one of a view mixes along one side, and the second's share.
struct Tap {
  int64_t first, second;
  float share;
};

// False if the pixel lies beyond what was shifted in.
bool TapAt(const Line& line, int64_t i, int64_t size, Tap* tap) {
  const int64_t at = i - line.shift;
  if (at < 0 || at >= size) return false;
  const double from =
      std::min(std::max(line.from + line.step * static_cast<double>(at), 0.0),
               static_cast<double>(size - 1));
  tap->first = static_cast<int64_t>(from);
  tap->second = std::min(tap->first + 1, size - 1);
  tap->share = static_cast<float>(from - static_cast<double>(tap->first));
  return true;
}

float Mix(const Tap& tap, const float* row) {
  return row[tap.first] + tap.share * (row[tap.second] - row[tap.first]);
}

void Render(const Look& look, const Images& images, const float* from,
            float* to) {
  for (int64_t r = 0; r < images.height; ++r) {
    Tap down, across;
    const bool inside = TapAt(look.y, r, images.height, &down);
    for (int64_t c = 0; c < images.width; ++c) {
      const bool seen = inside && TapAt(look.x, c, images.width, &across) &&
                        !(r >= look.top && r < look.bottom && c >= look.left &&
                          c < look.right);
      for (int64_t plane = 0; plane < images.channels; ++plane) {
        const int64_t base = plane * images.height * images.width;
        float value = 0;
        if (seen) {
          const float* image = from + base;
          const float above = Mix(across, image + down.first * images.width);
          const float below = Mix(across, image + down.second * images.width);
          value =
              (above + down.share * (below - above)) * look.gain + look.offset;
        }
        to[base + r * images.width + c] = value;
      }
    }
  }
}

absl::Status CheckView(const op::RandomView& view, const Images& images) {
  const auto unit = [](float x) { return x >= 0 && x <= 1; };
  const auto size = [](float x) { return std::isfinite(x) && x >= 0; };
  TAMER_RETURN_IF_ERROR(CheckNumber(view.crop() > 0 && view.crop() <= 1, "crop",
                                    view.crop(), "in (0, 1]"));
  TAMER_RETURN_IF_ERROR(
      CheckNumber(unit(view.flip()), "flip", view.flip(), "in [0, 1]"));
  TAMER_RETURN_IF_ERROR(CheckNumber(
      view.shift() >= 0 && view.shift() < std::min(images.height, images.width),
      "shift", view.shift(), "at least 0 and less than the images' sides"));
  TAMER_RETURN_IF_ERROR(CheckNumber(unit(view.contrast()), "contrast",
                                    view.contrast(), "in [0, 1]"));
  TAMER_RETURN_IF_ERROR(CheckNumber(size(view.brightness()), "brightness",
                                    view.brightness(), "at least 0"));
  TAMER_RETURN_IF_ERROR(CheckNumber(view.erase() >= 0 && view.erase() < 1,
                                    "erase", view.erase(), "in [0, 1)"));
  return CheckNumber(size(view.noise()), "noise", view.noise(), "at least 0");
}

class RandomViewOp : public TypedOp<op::RandomView> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const Images images = ImagesOf(inputs[0].shape);
    if (images.channels == 0) {
      return Invalid("x must be images, [B, channels, height, width], [B, s, ",
                     "s] or [B, s * s], not ", inputs[0].shape.ToString());
    }
    TAMER_RETURN_IF_ERROR(CheckView(Typed(params), images));
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeKernel(
        [view = Typed(*spec.params), images = ImagesOf(spec.inputs[0].shape),
         key = spec.stream_key,
         noise_key =
             StreamKey(spec.stream_key, "noise")](const KernelArgs& args) {
          const float* x = args.inputs[0].floats();
          float* y = args.outputs[0].floats();
          const int64_t pixels = images.pixels();
          ParallelFor(images.rows, 16, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              Render(DrawLook(view, images, Draws(key, args.step, i)), images,
                     x + i * pixels, y + i * pixels);
            }
          });
          if (view.noise() > 0) AddNoise(view.noise(), noise_key, args);
          return absl::OkStatus();
        },
        Typed(*spec.params).noise() > 0
            ? spec.outputs[0].shape.elements() *
                  static_cast<int64_t>(sizeof(float))
            : 0);
  }

  bool IdentityAtInference() const override { return true; }

 private:
  static void AddNoise(float stddev, uint64_t key, const KernelArgs& args) {
    auto* noise = static_cast<float*>(args.scratch);
    const int64_t n = args.outputs[0].elements();
    float* y = args.outputs[0].floats();
    FillGaussian(key, args.step, n, noise);
    ParallelFor(n, 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] += stddev * noise[i];
    });
  }
};

}  // namespace

TAMER_OP_FAMILY(views, RandomViewOp)

}  // namespace tamer
