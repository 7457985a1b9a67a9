#include "ops/internal/activations.h"
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

// At each point the gradient is a sum over pieces. The minibatch is cut in two
// parts, whatever the number of threads, whose gradients are added: so each
// thread sees samples that it had in other kernels, too. More than two threads
// share the points of a part.
class WeightGradient : public Kernel {
 public:
  WeightGradient(const ConvShape& shape, bool bias)
      : g_(shape),
        panels_(PanelTilesOf(shape.out)),
        parts_(shape.batch > 1 ? 2 : 1),
        bias_(bias),
        filters_(g_.WithColumns(/*filters=*/true)),
        team_(TeamSize()) {}

  absl::Status Run(const KernelArgs& args) override {
    ForShares([&](int thread, const Share& share) {
      AddUp(args, share.Of(kAll), share.part, g_.RoomOf(args.scratch, thread));
      if (bias_ && share.index == 0) SumBias(args, share.part);
    });
    ForShares([&](int, const Share& share) {
      const IndexRange rows = share.Of(g_.in);
      winograd::FilterGradient(filters_, Sums(args, share.part), rows.begin,
                               rows.end, Gradient(args, share.part));
    });
    if (parts_ == 1) return absl::OkStatus();
    // Cut as in the update that follows.
    constexpr int64_t kGrain = 1 << 13;
    ParallelFor(Weights(), kGrain, [&](int64_t begin, int64_t end) {
      float* to = args.outputs[0].floats() + begin;
      ActivatedSum(op::LINEAR, 0, to, Gradient(args, 1) + begin, nullptr,
                   end - begin, to);
    });
    if (!bias_) return absl::OkStatus();
    float* to = args.outputs[1].floats();
    ActivatedSum(op::LINEAR, 0, to, Bias(args, 1), nullptr, g_.out, to);
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override {
    return (team_ * g_.RoomFloats() + parts_ * PartFloats()) * 4;
  }

 private:
  // What a thread does: of a part of the minibatch a share of the rest.
  struct Share {
    int part, index, count;
    IndexRange Of(int64_t n) const {
      return {n * index / count, n * (index + 1) / count};
    }
  };
  template <typename Body>
  void ForShares(const Body& body) const {
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      if (threads < parts_) {
        for (int part = 0; part < parts_; ++part) body(thread, {part, 0, 1});
        return;
      }
      // Threads [first, end) have the part of this one.
      const int part = thread * parts_ / threads;
      const int first = (part * threads + parts_ - 1) / parts_;
      const int end = ((part + 1) * threads + parts_ - 1) / parts_;
      body(thread, {part, thread - first, end - first});
    });
  }

  int64_t Weights() const { return g_.in * g_.out * g_.kernel * g_.kernel; }
  int64_t PartFloats() const {
    return filters_.floats() + g_.Up(Weights()) + g_.Up(g_.out);
  }
  // A part's sums at the points, and its gradients; those of the first are the
  // outputs, to which the other's are added.
  float* Sums(const KernelArgs& args, int part) const {
    return static_cast<float*>(args.scratch) + team_ * g_.RoomFloats() +
           part * PartFloats();
  }
  float* Gradient(const KernelArgs& args, int part) const {
    return part == 0 ? args.outputs[0].floats()
                     : Sums(args, part) + filters_.floats();
  }
  float* Bias(const KernelArgs& args, int part) const {
    return part == 0 ? args.outputs[1].floats()
                     : Gradient(args, part) + g_.Up(Weights());
  }
  IndexRange Samples(int part) const {
    return {g_.batch * part / parts_, g_.batch * (part + 1) / parts_};
  }

  // The part's sums at `points`.
  void AddUp(const KernelArgs& args, IndexRange points, int part,
             const Room& room) const {
    float* sums = Sums(args, part);
    const int64_t first = Samples(part).begin * g_.lines;
    const int64_t end = Samples(part).end * g_.lines;
    // Rows of the points.
    const auto begin = static_cast<int>(points.begin / kPoints);
    const auto last = static_cast<int>((points.end - 1) / kPoints);
    int64_t sample = -1;
    const float* image = nullptr;
    for (int64_t line = first; line < end; line += g_.block) {
      const int64_t n = std::min(g_.block, end - line);
      for (int64_t l = 0; l < n; ++l) {
        const int64_t b = (line + l) / g_.lines, y = (line + l) % g_.lines;
        if (b != sample) {
          image = g_.Image(args.inputs[0].floats(), b, room.image);
        }
        sample = b;
        g_.ImageLine(image, y, begin, last + 1, room, l, g_.pieces());
        g_.ResultLine(args.inputs[1].floats() + b * g_.oh * g_.ow * g_.out, y,
                      begin, last + 1, room, l, g_.pieces());
      }
      for (int64_t p = points.begin; p < points.end; ++p) {
        Multiply(panels_, {room.x + p * g_.pieces() * g_.in, 1, g_.in, g_.in,
                           n * g_.across, room.y + p * g_.pieces() * g_.out,
                           g_.out, sums + p * g_.in * filters_.width,
                           filters_.width, line > first});
      }
    }
  }

  // Ones times dy.
  void SumBias(const KernelArgs& args, int part) const {
    const float one = 1;
    const IndexRange samples = Samples(part);
    Multiply(panels_,
             {&one, 0, 0, 1, samples.size() * g_.oh * g_.ow,
              args.inputs[1].floats() + samples.begin * g_.oh * g_.ow * g_.out,
              g_.out, Bias(args, part), g_.out, false});
  }

  const winograd::Geometry g_;
  const std::vector<PanelTiles> panels_;
  const int parts_;
  const bool bias_;
  const winograd::Filters filters_;
  const int team_;
};

}  // namespace

std::unique_ptr<Kernel> MakeWinogradWeightGradient(const ConvShape& shape,
                                                   bool bias) {
  return std::make_unique<WeightGradient>(shape, bias);
}

#else  // no tiles

std::unique_ptr<Kernel> MakeWinogradWeightGradient(const ConvShape&, bool) {
  return nullptr;
}

#endif  // TAMER_TILES

}  // namespace tamer
