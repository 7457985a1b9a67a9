#include "ops/internal/winograd.h"

#include "ops/internal/winograd_geometry.h"

namespace tamer {

#if TAMER_TILES

namespace {

using tiles::PanelTiles;
using tiles::PanelTilesOf;
using winograd::kAll;
using winograd::kPoints;
using winograd::Multiply;
using winograd::Room;
using winograd::Rows;

class Forward : public Kernel {
 public:
  Forward(const ConvShape& shape, const ConvSettings& settings)
      : g_(shape),
        panels_(PanelTilesOf(shape.out)),
        bias_(settings.bias),
        relu_(settings.activation == op::RELU),
        filters_(g_.WithColumns(/*filters=*/true)),
        team_(TeamSize()) {}

  absl::Status Run(const KernelArgs& args) override {
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      const Room room = g_.RoomOf(args.scratch, thread, filters_.floats());
      winograd::FilterPoints(filters_, args.inputs[1].floats(), room.filters);
      const int64_t lines = g_.batch * g_.lines;
      int64_t sample = -1;
      const float* image = nullptr;
      for (int64_t line = lines * thread / threads,
                   end = lines * (thread + 1) / threads;
           line < end; line += g_.block) {
        const int64_t n = std::min(g_.block, end - line);
        for (int64_t l = 0; l < n; ++l) {
          const int64_t b = (line + l) / g_.lines;
          if (b != sample) {
            image = g_.Image(args.inputs[0].floats(), b, room.image);
          }
          sample = b;
          g_.ImageLine(image, (line + l) % g_.lines, 0, kPoints, room, l,
                       g_.pieces());
        }
        for (int p = 0; p < kAll; ++p) {
          Multiply(panels_,
                   {room.x + p * g_.pieces() * g_.in, g_.in, 1, n * g_.across,
                    g_.in, room.filters + p * g_.in * filters_.width,
                    filters_.width, room.y + p * g_.pieces() * filters_.width,
                    filters_.width, false});
        }
        for (int64_t l = 0; l < n; ++l) FromPoints(args, line + l, l, room);
      }
    });
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override {
    return team_ * g_.RoomFloats(filters_.floats()) * 4;
  }

 private:
  void FromPoints(const KernelArgs& args, int64_t line, int64_t l,
                  const Room& room) const {
    const int64_t b = line / g_.lines, y = line % g_.lines * g_.side;
    winograd::Finish finish;
    if (bias_) finish.bias = args.inputs[2].floats();
    finish.relu = relu_;
    float* to = args.outputs[0].floats() + (b * g_.oh + y) * g_.ow * g_.out;
    for (int64_t i = 0; i < g_.across; ++i) {
      const int64_t x = i * g_.side;
      winograd::FinishPiece(g_.side,
                            {room.y + (l * g_.across + i) * filters_.width,
                             g_.pieces() * filters_.width},
                            g_.out, finish, g_.oh - y, g_.ow - x,
                            to + x * g_.out, g_.ow * g_.out);
    }
  }

  const winograd::Geometry g_;
  const std::vector<PanelTiles> panels_;
  const bool bias_, relu_;
  const winograd::Filters filters_;
  const int team_;
};

// Threads share samples: pieces of one overlap in its gradient.
class InputGradient : public Kernel {
 public:
  explicit InputGradient(const ConvShape& shape)
      : g_(shape),
        panels_(PanelTilesOf(shape.in)),
        filters_(g_.WithColumns(/*filters=*/false)),
        team_(TeamSize()) {}

  absl::Status Run(const KernelArgs& args) override {
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      const Room room = g_.RoomOf(args.scratch, thread, filters_.floats());
      winograd::FilterPoints(filters_, args.inputs[1].floats(), room.filters);
      for (int64_t b = g_.batch * thread / threads,
                   end = g_.batch * (thread + 1) / threads;
           b < end; ++b) {
        Sample(args.inputs[0].floats() + b * g_.oh * g_.ow * g_.out, room,
               args.outputs[0].floats() + b * g_.raw_h * g_.raw_w * g_.in);
      }
    });
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override {
    return team_ * g_.RoomFloats(filters_.floats()) * 4;
  }

 private:
  // Lines of a block, which is of one sample.
  int64_t Lines() const { return std::min(g_.block, g_.lines); }
  int64_t Pieces() const { return Lines() * g_.across; }

  void Sample(const float* dy, const Room& room, float* dx) const {
    float* image = g_.padded() ? room.image : dx;
    std::memset(image, 0, g_.h * g_.w * g_.in * 4);
    for (int64_t line = 0; line < g_.lines; line += Lines()) {
      const int64_t n = std::min(Lines(), g_.lines - line);
      for (int64_t l = 0; l < n; ++l) {
        g_.ResultLine(dy, line + l, 0, kPoints, room, l, Pieces());
      }
      for (int p = 0; p < kAll; ++p) {
        Multiply(
            panels_,
            {room.y + p * Pieces() * g_.out, g_.out, 1, n * g_.across, g_.out,
             room.filters + p * g_.out * filters_.width, filters_.width,
             room.x + p * Pieces() * filters_.width, filters_.width, false});
      }
      for (int64_t l = 0; l < n; ++l) AddLine(l, room, image, line + l);
    }
    if (g_.padded()) g_.FromImage(image, dx);
  }

  void AddLine(int64_t l, const Room& room, float* image, int64_t line) const {
    const Rows& rows = room.rows;
    std::memset(rows.at, 0, g_.RowsFloats() * 4);
    for (int64_t x = 0; x < g_.across; ++x) {
      winograd::AddPiece({room.x + (l * g_.across + x) * filters_.width,
                          Pieces() * filters_.width},
                         g_.in, {rows.at + x * g_.side * g_.in, rows.step});
    }
    winograd::AddRows(rows, g_.w * g_.in, image + line * g_.side * g_.w * g_.in,
                      g_.w * g_.in);
  }

  const winograd::Geometry g_;
  const std::vector<PanelTiles> panels_;
  const winograd::Filters filters_;
  const int team_;
};

}  // namespace

bool CanWinograd(const ConvShape& shape) {
  if (!HasTiles(false) || !__builtin_cpu_supports("fma")) return false;
  if (!shape.channels_last || shape.groups > 1 || shape.axes.size() != 2 ||
      shape.batch < 1) {
    return false;
  }
  int64_t results = 1, pieces = 1;
  const int64_t kernel = shape.axes[0].kernel;
  if (kernel != 3 && kernel != 5) return false;
  for (const WindowAxis& axis : shape.axes) {
    if (axis.kernel != kernel || axis.stride != 1 || axis.dilation != 1) {
      return false;
    }
    const int64_t side = kPoints + 1 - kernel;
    results *= axis.out;
    pieces *= (axis.out + side - 1) / side;
  }
  constexpr int64_t kLeast = 16, kMost = 128;  // channels
  if (std::min(shape.in, shape.out) < kLeast ||
      std::max(shape.in, shape.out) > kMost) {
    return false;
  }
  // Multiplications for a channel and a filter, with half as much again for the
  // way to the points and back; what the filters take to get there is as much
  // time, on two threads, as so many more.
  constexpr int64_t kFilters = 1800;
  return shape.batch * kAll * pieces * 3 / 2 + kFilters <=
         shape.batch * results * kernel * kernel;
}

std::unique_ptr<Kernel> MakeWinograd(const ConvShape& shape,
                                     const ConvSettings& settings) {
  return std::make_unique<Forward>(shape, settings);
}

std::unique_ptr<Kernel> MakeWinogradInputGradient(const ConvShape& shape) {
  return std::make_unique<InputGradient>(shape);
}

#else  // no tiles

bool CanWinograd(const ConvShape&) { return false; }
std::unique_ptr<Kernel> MakeWinograd(const ConvShape&, const ConvSettings&) {
  return nullptr;
}
std::unique_ptr<Kernel> MakeWinogradInputGradient(const ConvShape&) {
  return nullptr;
}

#endif  // TAMER_TILES

}  // namespace tamer
