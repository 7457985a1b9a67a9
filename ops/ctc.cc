// Connectionist temporal classification: forward and backward probabilities in
// log space and double precision, a sample at a time.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/parallel.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/losses.h"
#include "ops/internal/scratch.h"
#include "proto/ops/ctc.pb.h"

namespace tamer {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

// log(exp(a) + exp(b)).
double LogAdd(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kNever ? a : a + std::log1p(std::exp(b - a));
}

struct Problem {
  int64_t batch = 0, frames = 0, classes = 0, longest = 0;
  int32_t blank = 0;

  // Labels with blanks about them.
  int64_t states() const { return 2 * longest + 1; }
};

absl::StatusOr<Problem> ProblemOf(int32_t blank, Types inputs) {
  if (inputs.size() != 2 && inputs.size() != 3) {
    return Invalid("takes logits, labels and, if wanted, frames, not ",
                   inputs.size(), " inputs");
  }
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
  const Shape& logits = inputs[0].shape;
  const Shape& labels = inputs[1].shape;
  if (logits.rank() != 3 || logits.dim(1) < 1 || logits.dim(2) < 2) {
    return Invalid("logits must be [B, T, classes], but are ",
                   logits.ToString());
  }
  if (inputs[1].dtype != DType::kInt32 || labels.rank() != 2 ||
      labels.dim(0) != logits.dim(0) || labels.dim(1) < 1) {
    return Invalid("labels must be INT32 [B, L], as many samples as logits ",
                   logits.ToString(), ", but are ", inputs[1].ToString());
  }
  const TensorType frames = {DType::kInt32, Shape({logits.dim(0)})};
  if (inputs.size() == 3 && inputs[2] != frames) {
    return Invalid("frames must be ", frames.ToString(), ", but are ",
                   inputs[2].ToString());
  }
  TAMER_ASSIGN_OR_RETURN(const int found,
                         CheckAxis(blank, static_cast<int>(logits.dim(2))));
  return Problem{logits.dim(0), logits.dim(1), logits.dim(2), labels.dim(1),
                 static_cast<int32_t>(found)};
}

// A sample's labels and frames.
struct Sample {
  const int32_t* labels = nullptr;
  int64_t count = 0, frames = 0;

  int64_t states() const { return 2 * count + 1; }
  int32_t ClassAt(int64_t state, int32_t blank) const {
    return state % 2 == 0 ? blank : labels[state / 2];
  }
  // Whether the blank before a label may be left out.
  bool Skips(int64_t state) const {
    return state % 2 == 1 && state >= 3 &&
           labels[state / 2] != labels[state / 2 - 1];
  }
};

absl::StatusOr<Sample> SampleAt(const Problem& problem, const KernelArgs& args,
                                int64_t b) {
  Sample sample;
  sample.labels = args.inputs[1].ints() + b * problem.longest;
  while (sample.count < problem.longest && sample.labels[sample.count] >= 0) {
    ++sample.count;
  }
  for (int64_t i = 0; i < problem.longest; ++i) {
    const int32_t label = sample.labels[i];
    const bool fits = i < sample.count
                          ? label < problem.classes && label != problem.blank
                          : label == -1;
    if (!fits) {
      return Invalid("label ", label, " is out of range for ", problem.classes,
                     " classes, the blank being ", problem.blank,
                     "; or it stands after a -1");
    }
  }
  sample.frames = problem.frames;
  if (args.inputs.size() == 3) {
    sample.frames = args.inputs[2].ints()[b];
    if (sample.frames < 0 || sample.frames > problem.frames) {
      return Invalid("a sample has ", sample.frames,
                     " frames; it must be 0 to ", problem.frames);
    }
  }
  return sample;
}

absl::Status CheckSamples(const Problem& problem, const KernelArgs& args) {
  for (int64_t b = 0; b < problem.batch; ++b) {
    TAMER_RETURN_IF_ERROR(SampleAt(problem, args, b).status());
  }
  return absl::OkStatus();
}

// One sample's lattice: alpha[t][s], the log probability of the first frames up
// to t ending in state s, and the classes' log probabilities.
class Lattice {
 public:
  static int64_t Bytes(const Problem& problem) {
    const int64_t doubles = problem.frames * problem.states() +
                            2 * problem.states() + problem.frames;
    return Aligned(doubles * static_cast<int64_t>(sizeof(double)));
  }

  Lattice(const Problem& problem, const Sample& sample, const float* x,
          double* memory)
      : problem_(problem),
        sample_(sample),
        x_(x),
        alpha_(memory),
        beta_(memory + problem.frames * problem.states()),
        log_sums_(beta_ + 2 * problem.states()) {
    for (int64_t t = 0; t < sample.frames; ++t) {
      log_sums_[t] = LogSumExp(x + t * problem.classes, problem.classes);
    }
  }

  // The log probability of the labels.
  double Forward() {
    const int64_t states = sample_.states();
    if (sample_.frames == 0) return sample_.count == 0 ? 0 : kNever;
    for (int64_t s = 0; s < states; ++s) {
      alpha_[s] = s < 2 ? LogProbability(0, s) : kNever;
    }
    for (int64_t t = 1; t < sample_.frames; ++t) {
      const double* before = alpha_ + (t - 1) * states;
      for (int64_t s = 0; s < states; ++s) {
        double sum = before[s];
        if (s > 0) sum = LogAdd(sum, before[s - 1]);
        if (sample_.Skips(s)) sum = LogAdd(sum, before[s - 2]);
        alpha_[t * states + s] = sum + LogProbability(t, s);
      }
    }
    const double* last = alpha_ + (sample_.frames - 1) * states;
    return states == 1 ? last[0] : LogAdd(last[states - 1], last[states - 2]);
  }

  // scale * (softmax(x) - the share of each class among the ways) to
  // `gradient`. beta[s] is that of the frames after t.
  void Backward(double total, float scale, float* gradient) {
    const int64_t states = sample_.states(), n = problem_.classes;
    double* beta = beta_;
    double* next = beta_ + problem_.states();
    for (int64_t s = 0; s < states; ++s) {
      beta[s] = s >= states - 2 ? 0 : kNever;
    }
    for (int64_t t = sample_.frames - 1; t >= 0; --t) {
      float* row = gradient + t * n;
      for (int64_t c = 0; c < n; ++c) {
        row[c] =
            scale * std::exp(x_[t * n + c] - static_cast<float>(log_sums_[t]));
      }
      for (int64_t s = 0; s < states; ++s) {
        const double way = alpha_[t * states + s] + beta[s] - total;
        row[sample_.ClassAt(s, problem_.blank)] -=
            scale * static_cast<float>(std::exp(way));
      }
      for (int64_t s = 0; s < states; ++s)
        next[s] = beta[s] + LogProbability(t, s);
      for (int64_t s = 0; s < states; ++s) {
        double sum = next[s];
        if (s + 1 < states) sum = LogAdd(sum, next[s + 1]);
        if (s + 2 < states && sample_.Skips(s + 2)) {
          sum = LogAdd(sum, next[s + 2]);
        }
        beta[s] = sum;
      }
    }
  }

 private:
  double LogProbability(int64_t t, int64_t s) const {
    const int32_t c = sample_.ClassAt(s, problem_.blank);
    return x_[t * problem_.classes + c] - log_sums_[t];
  }

  const Problem& problem_;
  const Sample& sample_;
  const float* x_;
  double *alpha_, *beta_, *log_sums_;
};

class CtcKernel : public Kernel {
 public:
  explicit CtcKernel(const Problem& problem) : problem_(problem) {
    losses_ = scratch_.Reserve(problem.batch * sizeof(double));
    lattices_ = scratch_.Reserve(problem.batch * Lattice::Bytes(problem));
  }

  absl::Status Run(const KernelArgs& args) override {
    TAMER_RETURN_IF_ERROR(CheckSamples(problem_, args));
    double* losses = Scratch::At<double>(args.scratch, losses_);
    OnTeam(/*alone=*/problem_.batch == 1, [&](int thread, int threads) {
      for (int64_t b = thread; b < problem_.batch; b += threads) {
        losses[b] = RunSample(args, b);
      }
    });
    double sum = 0;
    for (int64_t b = 0; b < problem_.batch; ++b) sum += losses[b];
    args.outputs[0].floats()[0] = static_cast<float>(sum / problem_.batch);
    return absl::OkStatus();
  }
  int64_t scratch_bytes() const override { return scratch_.bytes(); }

 private:
  double RunSample(const KernelArgs& args, int64_t b) const {
    const Sample sample = *SampleAt(problem_, args, b);
    const int64_t size = problem_.frames * problem_.classes;
    float* gradient = args.outputs[1].floats() + b * size;
    Lattice lattice(
        problem_, sample, args.inputs[0].floats() + b * size,
        Scratch::At<double>(args.scratch,
                            lattices_ + b * Lattice::Bytes(problem_)));
    std::memset(gradient, 0, size * sizeof(float));
    const double total = lattice.Forward();
    if (total == kNever) return 0;
    lattice.Backward(total, 1 / static_cast<float>(problem_.batch), gradient);
    return -total;
  }

  const Problem problem_;
  Scratch scratch_;
  int64_t losses_, lattices_;
};

class CtcOp : public TypedOp<op::Ctc> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(ProblemOf(Typed(params).blank(), inputs).status());
    return Outputs({TensorType(), inputs[0]});
  }

  bool TakesLabels() const override { return true; }

  absl::Status Gradient(GradientBuilder& g) const override {
    return EmitLossGradient(g, 0);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(const Problem problem,
                           ProblemOf(Typed(*spec.params).blank(), spec.inputs));
    return std::make_unique<CtcKernel>(problem);
  }
};

// The best classes of the frames, repetitions and blanks taken out.
int64_t Spell(const Problem& problem, const Sample& sample, const float* x,
              int32_t* spelled) {
  int64_t count = 0;
  int32_t before = problem.blank;
  for (int64_t t = 0; t < sample.frames; ++t) {
    const float* row = x + t * problem.classes;
    const auto best = static_cast<int32_t>(
        std::max_element(row, row + problem.classes) - row);
    if (best != before && best != problem.blank) spelled[count++] = best;
    before = best;
  }
  return count;
}

// Levenshtein's distance; `row` has room for one more than a's length.
int64_t EditDistance(const int32_t* a, int64_t n, const int32_t* b, int64_t m,
                     int32_t* row) {
  for (int64_t i = 0; i <= n; ++i) row[i] = static_cast<int32_t>(i);
  for (int64_t j = 0; j < m; ++j) {
    int32_t diagonal = row[0];
    row[0] = static_cast<int32_t>(j + 1);
    for (int64_t i = 0; i < n; ++i) {
      const int32_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[i + 1];
      row[i + 1] = std::min({replaced, row[i] + 1, row[i + 1] + 1});
    }
  }
  return row[n];
}

class CtcErrorRateOp : public TypedOp<op::CtcErrorRate> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(ProblemOf(Typed(params).blank(), inputs).status());
    return Outputs({TensorType()});
  }

  bool TakesLabels() const override { return true; }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(const Problem problem,
                           ProblemOf(Typed(*spec.params).blank(), spec.inputs));
    const int64_t bytes =
        (problem.frames + problem.longest + 1) * sizeof(int32_t);
    return MakeKernel(
        [problem](const KernelArgs& args) {
          TAMER_RETURN_IF_ERROR(CheckSamples(problem, args));
          auto* spelled = static_cast<int32_t*>(args.scratch);
          int64_t wrong = 0, labels = 0;
          for (int64_t b = 0; b < problem.batch; ++b) {
            const Sample sample = *SampleAt(problem, args, b);
            const float* x =
                args.inputs[0].floats() + b * problem.frames * problem.classes;
            const int64_t count = Spell(problem, sample, x, spelled);
            wrong += EditDistance(sample.labels, sample.count, spelled, count,
                                  spelled + problem.frames);
            labels += sample.count;
          }
          args.outputs[0].floats()[0] =
              static_cast<float>(wrong) /
              static_cast<float>(std::max<int64_t>(1, labels));
          return absl::OkStatus();
        },
        bytes);
  }
};

}  // namespace

TAMER_OP_FAMILY(ctc, CtcOp, CtcErrorRateOp)

}  // namespace tamer
