#include "core/data/augment.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "core/base/parallel.h"
#include "core/base/random.h"

namespace tamer {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int64_t kMostPixels = int64_t{1} << 24;

// The random numbers of one sample in one epoch, one after another; a source of
// bits for the standard library's distributions, too.
class Draws {
 public:
  using result_type = uint32_t;
  static constexpr uint32_t min() { return 0; }
  static constexpr uint32_t max() { return 0xffffffff; }
  uint32_t operator()() { return Word(); }

  Draws(uint64_t key, int64_t row, int64_t epoch)
      : key_(key), row_(row), epoch_(static_cast<uint32_t>(epoch)) {}

  // Uniform in [0, 1).
  double Uniform() { return Word() / 4294967296.0; }
  double Between(double low, double high) {
    return low + (high - low) * Uniform();
  }
  // 0 to bound - 1.
  int64_t Below(int64_t bound) {
    return static_cast<int64_t>(static_cast<uint64_t>(Word()) * bound >> 32);
  }

 private:
  uint32_t Word() {
    if (next_ % 4 == 0) {
      words_ = Philox({static_cast<uint32_t>(row_),
                       static_cast<uint32_t>(row_ >> 32), epoch_, next_ / 4},
                      key_);
    }
    return words_[next_++ % 4];
  }

  const uint64_t key_;
  const int64_t row_;
  const uint32_t epoch_;
  uint32_t next_ = 0;
  std::array<uint32_t, 4> words_{};
};

template <typename T>
TAMER_INLINE void CopyRow(const T* in, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(in[i]);
}

template <typename T>
TAMER_INLINE void CopyRowBackwards(const T* in, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(in[n - 1 - i]);
}

// A plane moved by (down, right) pixels, what comes in being the edge again, or
// 0; after that mirrored.
struct Move {
  int64_t height, width, down, right;
  bool edge, mirror, upside_down;
};

template <typename T>
TAMER_INLINE void MovePlane(const T* in, const Move& move, float* out) {
  const int64_t w = move.width, h = move.height;
  // Columns [begin, end) of a row come from the picture.
  const int64_t begin = std::min(w, std::max<int64_t>(0, move.right));
  const int64_t end = std::max(begin, std::min(w, w + move.right));
  for (int64_t y = 0; y < h; ++y) {
    float* row = out + (move.upside_down ? h - 1 - y : y) * w;
    int64_t from = y - move.down;
    if (move.edge) from = std::min(h - 1, std::max<int64_t>(0, from));
    if (from < 0 || from >= h) {
      std::fill(row, row + w, 0.0f);
      continue;
    }
    const T* source = in + from * w;
    const float left = move.edge ? static_cast<float>(source[0]) : 0;
    const float right = move.edge ? static_cast<float>(source[w - 1]) : 0;
    if (move.mirror) {
      std::fill(row, row + w - end, right);
      CopyRowBackwards(source + begin - move.right, end - begin, row + w - end);
      std::fill(row + w - begin, row + w, left);
    } else {
      std::fill(row, row + begin, left);
      CopyRow(source + begin - move.right, end - begin, row + begin);
      std::fill(row + end, row + w, right);
    }
  }
}

TAMER_VECTORIZED void MoveBytes(const uint8_t* in, const Move& move,
                                float* out) {
  MovePlane(in, move, out);
}

TAMER_VECTORIZED void MoveFloats(const float* in, const Move& move,
                                 float* out) {
  MovePlane(in, move, out);
}

void MoveAny(const uint8_t* in, const Move& move, float* out) {
  MoveBytes(in, move, out);
}
void MoveAny(const float* in, const Move& move, float* out) {
  MoveFloats(in, move, out);
}

// A row of samples of a plane with zeros around it, between pixels by bilinear
// interpolation. Sample i stands at (y + i * down, x + i * right).
TAMER_VECTORIZED void SampleRow(const float* plane, int32_t stride, float y,
                                float x, float down, float right, float least,
                                float most_y, float most_x, int32_t n,
                                float* out) {
  for (int32_t i = 0; i < n; ++i) {
    const float at = static_cast<float>(i);
    const float sy = std::min(std::max(y + at * down, least), most_y);
    const float sx = std::min(std::max(x + at * right, least), most_x);
    // Both are at least -1, and the plane begins there.
    const auto iy = static_cast<int32_t>(sy + 1);
    const auto ix = static_cast<int32_t>(sx + 1);
    const float fy = sy + 1 - static_cast<float>(iy);
    const float fx = sx + 1 - static_cast<float>(ix);
    const float* p = plane + iy * stride + ix;
    const float above = p[0] + fx * (p[1] - p[0]);
    const float below = p[stride] + fx * (p[stride + 1] - p[stride]);
    out[i] = above + fy * (below - above);
  }
}

TAMER_VECTORIZED void MixIn(const float* other, float share, int64_t n,
                            float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] += share * (other[i] - out[i]);
}

absl::Status CheckRange(const char* field, double value, double low,
                        double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Invalid("data: augment: ", field, " is ", value, "; it must be ", low,
                 " to ", high);
}

absl::Status CheckDef(const AugmentDef& def) {
  TAMER_RETURN_IF_ERROR(
      CheckRange("crop.padding", def.crop().padding(), 0, 4096));
  TAMER_RETURN_IF_ERROR(
      CheckRange("shift.pixels", def.shift().pixels(), 0, 4096));
  TAMER_RETURN_IF_ERROR(
      CheckRange("flip.probability", def.flip().probability(), 0, 1));
  TAMER_RETURN_IF_ERROR(
      CheckRange("rotate.degrees", def.rotate().degrees(), 0, 180));
  TAMER_RETURN_IF_ERROR(CheckRange("scale.low", def.scale().low(), 0.1, 10));
  TAMER_RETURN_IF_ERROR(
      CheckRange("scale.high", def.scale().high(), def.scale().low(), 10));
  TAMER_RETURN_IF_ERROR(
      CheckRange("erase.probability", def.erase().probability(), 0, 1));
  TAMER_RETURN_IF_ERROR(CheckRange("erase.low", def.erase().low(), 0, 1));
  TAMER_RETURN_IF_ERROR(
      CheckRange("mixup.alpha", def.mixup().alpha(), 0.01f, 100));
  return CheckRange("erase.high", def.erase().high(), def.erase().low(), 1);
}

bool ChangesPictures(const AugmentDef& def) {
  return def.has_crop() || def.has_flip() || def.has_shift() ||
         def.has_rotate() || def.has_scale() || def.has_erase();
}

bool IsPicture(const Shape& sample) {
  return sample.rank() >= 2 && sample.rank() <= 3 &&
         sample.elements() <= kMostPixels;
}

}  // namespace

struct Augmenter::Change {
  Move move;
  bool turned = false;
  // Where the pixel (y, x), counted from the middle, comes from, also from the
  // middle: (cos * y + sin * x, cos * x - sin * y).
  double cos = 1, sin = 0;
  int64_t erase_y = 0, erase_x = 0, erase_height = 0, erase_width = 0;
};

absl::StatusOr<std::shared_ptr<const Augmenter>> Augmenter::Make(
    const AugmentDef& def, const Dataset& data) {
  TAMER_RETURN_IF_ERROR(CheckDef(def));
  const Shape& sample = data.sample_shape;
  if (data.dtype == DType::kInt32 ||
      (ChangesPictures(def) && !IsPicture(sample))) {
    return Invalid("data: augment: the samples of ", data.source, " are ",
                   data.dtype == DType::kInt32 ? "tokens " : "",
                   sample.ToString(),
                   "; it changes pictures, [height, width] or "
                   "[channels, height, width]");
  }
  if (def.has_mixup() && data.labels_per_sample != 1) {
    return Invalid("data: augment: mixup needs one label a sample; ",
                   data.source, " has ", data.labels_per_sample);
  }
  return std::shared_ptr<const Augmenter>(new Augmenter(def, sample));
}

Augmenter::Augmenter(const AugmentDef& def, const Shape& sample) : def_(def) {
  if (!IsPicture(sample)) {
    height_ = 1;
    width_ = sample.elements();
    return;
  }
  const int rank = sample.rank();
  channels_ = rank == 3 ? sample.dim(0) : 1;
  height_ = sample.dim(rank - 2);
  width_ = sample.dim(rank - 1);
}

// A plane with a border, or a sample that will be mixed in, or both.
int64_t Augmenter::scratch_floats() const {
  const int64_t plane =
      ChangesPictures(def_) ? (height_ + 3) * (width_ + 3) : 0;
  return plane + (mixes() ? channels_ * height_ * width_ : 0);
}

bool Augmenter::changes() const { return ChangesPictures(def_); }

bool Augmenter::dear() const {
  constexpr int64_t kDear = 1 << 14;  // pixels that are moved in a microsecond
  return def_.has_rotate() || def_.has_scale() ||
         channels_ * height_ * width_ > kDear;
}

Augmenter::Change Augmenter::Draw(uint64_t key, int64_t row,
                                  int64_t epoch) const {
  Draws draws(key, row, epoch);
  Change change{};
  change.move = {height_, width_, 0, 0, !def_.has_crop(), false, false};
  const int64_t far = (def_.has_crop() ? def_.crop().padding() : 0) +
                      (def_.has_shift() ? def_.shift().pixels() : 0);
  change.move.down = draws.Below(2 * far + 1) - far;
  change.move.right = draws.Below(2 * far + 1) - far;
  const bool flips = draws.Uniform() < def_.flip().probability();
  if (def_.has_flip() && flips) {
    (def_.flip().vertical() ? change.move.upside_down : change.move.mirror) =
        true;
  }
  const double angle =
      draws.Between(-1, 1) * def_.rotate().degrees() * kPi / 180;
  const double size = std::exp(draws.Between(std::log(def_.scale().low()),
                                             std::log(def_.scale().high())));
  if (def_.has_rotate() || def_.has_scale()) {
    const double divisor = def_.has_scale() ? size : 1;
    change.turned = true;
    change.cos = (def_.has_rotate() ? std::cos(angle) : 1) / divisor;
    change.sin = (def_.has_rotate() ? std::sin(angle) : 0) / divisor;
  }
  const bool erases = draws.Uniform() < def_.erase().probability();
  if (!def_.has_erase() || !erases) return change;
  // Zhong et al. 2020: a share of the area, the sides' ratio 0.3 to 3.3.
  const double area = draws.Between(def_.erase().low(), def_.erase().high()) *
                      static_cast<double>(height_ * width_);
  const double ratio = std::exp(draws.Between(std::log(0.3), -std::log(0.3)));
  const auto side = [](double length, int64_t most) {
    return std::min(most, static_cast<int64_t>(std::lround(length)));
  };
  change.erase_height = side(std::sqrt(area * ratio), height_);
  change.erase_width = side(std::sqrt(area / ratio), width_);
  change.erase_y = draws.Below(height_ - change.erase_height + 1);
  change.erase_x = draws.Below(width_ - change.erase_width + 1);
  return change;
}

Augmenter::Mix Augmenter::DrawMix(uint64_t key, int64_t row, int64_t epoch,
                                  int64_t samples) const {
  Draws draws(key, row, epoch);
  Mix mix;
  mix.row = draws.Below(samples);
  // Beta by two numbers of the gamma distribution; both may be too small for a
  // double.
  std::gamma_distribution<double> gamma(def_.mixup().alpha());
  const double own = gamma(draws);
  const double other = gamma(draws);
  if (own + other > 0) {
    mix.share = static_cast<float>(std::min(own, other) / (own + other));
  }
  return mix;
}

template <typename T>
void Augmenter::ChangePlane(const T* in, const Change& change, float* scratch,
                            float* out) const {
  if (!change.turned) {
    MoveAny(in, change.move, out);
  } else {
    const int64_t stride = width_ + 3;
    for (int64_t y = 0; y < height_; ++y) {
      CopyRow(in + y * width_, width_, scratch + (y + 1) * stride + 1);
    }
    const Move& move = change.move;
    const float least = move.edge ? 0.0f : -1.0f;
    const auto most_y = static_cast<float>(move.edge ? height_ - 1 : height_);
    const auto most_x = static_cast<float>(move.edge ? width_ - 1 : width_);
    const double cy = (height_ - 1) / 2.0, cx = (width_ - 1) / 2.0;
    const double step = move.mirror ? -1 : 1;
    for (int64_t y = 0; y < height_; ++y) {
      const double dy =
          (move.upside_down ? cy - y : y - cy) - static_cast<double>(move.down);
      const double dx = -step * cx - static_cast<double>(move.right);
      SampleRow(scratch, static_cast<int32_t>(stride),
                static_cast<float>(cy + change.cos * dy + change.sin * dx),
                static_cast<float>(cx + change.cos * dx - change.sin * dy),
                static_cast<float>(step * change.sin),
                static_cast<float>(step * change.cos), least, most_y, most_x,
                static_cast<int32_t>(width_), out + y * width_);
    }
  }
  for (int64_t y = 0; y < change.erase_height; ++y) {
    float* row = out + (change.erase_y + y) * width_ + change.erase_x;
    std::fill(row, row + change.erase_width, 0.0f);
  }
}

void Augmenter::Apply(const Dataset& data, int64_t row, uint64_t key,
                      int64_t epoch, const FeatureScaling& scaling,
                      float* scratch, float* out) const {
  ChangeSample(data, row, Draw(key, row, epoch), scaling, scratch, out);
}

Augmenter::Mix Augmenter::ApplyMixed(const Dataset& data, int64_t row,
                                     uint64_t key, int64_t epoch,
                                     const FeatureScaling& scaling,
                                     float* scratch, float* out) const {
  Apply(data, row, key, epoch, scaling, scratch, out);
  const Mix mix = DrawMix(key + 1, row, epoch, data.size);
  const int64_t n = data.sample_elements();
  float* other = scratch + scratch_floats() - n;
  ChangeSample(data, mix.row, Draw(key + 2, row, epoch), scaling, scratch,
               other);
  MixIn(other, mix.share, n, out);
  return mix;
}

void Augmenter::ChangeSample(const Dataset& data, int64_t row,
                             const Change& change,
                             const FeatureScaling& scaling, float* scratch,
                             float* out) const {
  const int64_t plane = height_ * width_;
  const int64_t begin = row * channels_ * plane;
  if (change.turned) {
    std::fill(scratch, scratch + (height_ + 3) * (width_ + 3), 0.0f);
  }
  for (int64_t c = 0; c < channels_; ++c) {
    const int64_t at = begin + c * plane;
    if (data.dtype == DType::kUint8) {
      ChangePlane(data.bytes.data() + at, change, scratch, out + c * plane);
    } else {
      ChangePlane(data.floats.data() + at, change, scratch, out + c * plane);
    }
  }
  scaling.ApplyTo(out, channels_ * plane, out);
}

}  // namespace tamer
