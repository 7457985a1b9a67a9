#include "plugins/check/op_check.h"

#include <malloc.h>
#include <omp.h>

#include <cmath>
#include <limits>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/random.h"
#include "plugins/host/schema.h"

namespace tamer {
namespace {

constexpr int32_t kLabels = 5;  // INT32 operands are below this
constexpr int kThreads = 4;

std::vector<int> Differentiable(const Trial& trial) {
  std::vector<int> indices;
  for (size_t i = 0; i < trial.inputs.size(); ++i) {
    if (trial.op->TakesLabels() && i > 0) continue;
    if (trial.inputs[i].type.dtype == DType::kFloat) {
      indices.push_back(static_cast<int>(i));
    }
  }
  for (size_t i = 0; i < trial.variables.size(); ++i) {
    if (trial.inference.variables[i].trainable) {
      indices.push_back(static_cast<int>(trial.inputs.size() + i));
    }
  }
  return indices;
}

// The checks of one trial, in an order in which each may rely on those before.
class OpCheck {
 public:
  OpCheck(const Trial& trial, const OpTraits& traits, Findings& findings)
      : trial_(trial), traits_(traits), findings_(findings) {}

  // Whether the checks after this one make sense.
  bool Forward();
  void Repeats();
  void InPlace();
  void Gradient();
  void Threads();
  void Leaks();
  void NotANumber();

 private:
  std::string At() const { return "at " + trial_.ToString(); }
  bool SameAs(const TrialRun& run, const char* when);
  double Combined(const Trial& trial, const FencedTensor& weights);

  const Trial& trial_;
  const OpTraits traits_;
  Findings& findings_;
  std::unique_ptr<Kernel> kernel_;
  TrialRun first_;
};

bool OpCheck::Forward() {
  findings_.Begin("forward");
  auto kernel = trial_.Compile();
  if (!kernel.ok()) {
    findings_.Fail(absl::StrCat(At(), ": ", kernel.status().message()));
    return false;
  }
  kernel_ = *std::move(kernel);
  auto run = RunTrial(trial_, *kernel_);
  if (!run.ok()) {
    findings_.Fail(absl::StrCat(At(), ": ", run.status().message()));
    return false;
  }
  first_ = *std::move(run);
  if (!first_.intact) {
    findings_.Fail(At() + ": it writes beyond the end of a tensor");
    return false;
  }
  for (size_t i = 0; i < trial_.inputs.size(); ++i) {
    if (!first_.inputs[i].SameBits(trial_.inputs[i])) {
      findings_.Fail(absl::StrCat(At(), ": it changes its input ", i));
      return false;
    }
  }
  for (size_t i = 0; i < trial_.variables.size(); ++i) {
    if (!trial_.inference.variables[i].mutated &&
        !first_.variables[i].SameBits(trial_.variables[i])) {
      findings_.Fail(absl::StrCat(At(), ": it changes its weight ",
                                  trial_.inference.variables[i].name));
      return false;
    }
  }
  auto again = RunTrial(trial_, *kernel_);
  findings_.Begin("determinism");
  if (!again.ok() || !SameAs(*again, "from run to run")) return false;
  findings_.Begin("forward");
  // What it doesn't write shows as what was there before.
  again = RunTrial(trial_, *kernel_, 0x11);
  for (size_t o = 0; again.ok() && o < first_.outputs.size(); ++o) {
    if (first_.outputs[o].SameBits(again->outputs[o])) continue;
    findings_.Fail(absl::StrCat(At(), ": it doesn't overwrite output ", o,
                                " whole, or reads what was there before"));
    return false;
  }
  return true;
}

bool OpCheck::SameAs(const TrialRun& run, const char* when) {
  for (size_t o = 0; o < run.outputs.size(); ++o) {
    if (run.outputs[o].SameBits(first_.outputs[o])) continue;
    findings_.Fail(
        absl::StrCat(At(), ": output ", o, " differs ", when,
                     "; keep no state in the kernel, sum in a fixed order"));
    return false;
  }
  return true;
}

void OpCheck::Repeats() {
  findings_.Begin("determinism");
  const int before = omp_get_max_threads();
  for (int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    auto kernel = trial_.Compile();
    if (!kernel.ok()) return findings_.Fail(At() + ": it can't be made twice");
    auto run = RunTrial(trial_, **kernel);
    if (!run.ok() || !SameAs(*run, "with more threads or in another kernel")) {
      break;
    }
  }
  omp_set_num_threads(before);
}

void OpCheck::InPlace() {
  if (!traits_.in_place) return;
  findings_.Begin("in place");
  if (trial_.inputs[0].type.shape.elements() !=
          trial_.inference.outputs[0].shape.elements() ||
      trial_.inputs[0].type.dtype != trial_.inference.outputs[0].dtype) {
    return;
  }
  auto run = RunTrial(trial_, *kernel_, 0xff, true);
  if (!run.ok()) {
    return findings_.Fail(absl::StrCat(At(), ": ", run.status().message()));
  }
  SameAs(*run, "if it stands in input 0's memory");
}

double OpCheck::Combined(const Trial& trial, const FencedTensor& weights) {
  auto run = RunTrial(trial, *kernel_);
  if (!run.ok()) return std::numeric_limits<double>::quiet_NaN();
  const Tensor y = run->outputs[0].view();
  double sum = 0;
  for (int64_t i = 0; i < y.elements(); ++i) {
    sum += double{y.floats()[i]} * weights.view().floats()[i];
  }
  return sum;
}

void OpCheck::Gradient() {
  if (!traits_.differentiable ||
      first_.outputs[0].type.dtype != DType::kFloat) {
    return;
  }
  findings_.Begin("gradient");
  FencedTensor weights(first_.outputs[0].type);
  FillUniform(991, 0, weights.type.shape.elements(), weights.view().floats());
  const std::vector<int> wanted = Differentiable(trial_);
  auto found = TrialGradient(trial_, first_.outputs, weights, wanted);
  if (!found.ok()) {
    return findings_.Fail(absl::StrCat(At(), ": ", found.status().message()));
  }
  Trial moved = trial_;
  int64_t kinks = 0, tried = 0;
  for (int index : wanted) {
    const int inputs = static_cast<int>(trial_.inputs.size());
    if (found->count(index) == 0) {
      return findings_.Fail(
          absl::StrCat(At(), ": it gives no gradient of ",
                       index < inputs ? "input " : "weight ",
                       index < inputs ? index : index - inputs));
    }
    FencedTensor& own =
        index < inputs ? moved.inputs[index] : moved.variables[index - inputs];
    own = own.Copy();
    const Tensor at = own.view(), gradient = (*found)[index].view();
    // A sample of the elements is enough.
    const int64_t stride = std::max<int64_t>(1, at.elements() / 40);
    for (int64_t i = 0; i < at.elements(); i += stride) {
      const float before = at.floats()[i];
      const auto slope = [&](float step) {
        at.floats()[i] = before + step;
        const double above = Combined(moved, weights);
        at.floats()[i] = before - step;
        const double below = Combined(moved, weights);
        at.floats()[i] = before;
        return (above - below) / (2.0 * step);
      };
      const double coarse = slope(1e-2f), fine = slope(4e-3f);
      ++tried;
      if (!(std::fabs(coarse - fine) < 1e-2 * (1 + std::fabs(fine)))) {
        ++kinks;  // no derivative here, or none that floats can show
        continue;
      }
      const double seen = gradient.floats()[i];
      if (std::fabs(seen - fine) <= 2e-2 * (1 + std::fabs(fine))) continue;
      return findings_.Fail(absl::StrCat(
          At(), ": the gradient of ", index < inputs ? "input " : "weight ",
          index < inputs ? index : index - inputs, " at element ", i, " is ",
          seen, "; finite differences give ", fine));
    }
  }
  if (kinks * 4 > tried) {
    findings_.Note(absl::StrCat(At(), ": at ", kinks, " of ", tried,
                                " elements finite differences tell nothing"));
  }
}

void OpCheck::Threads() {
  findings_.Begin("threads");
  std::vector<char> same(kThreads, 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      omp_set_num_threads(1);
      for (int i = 0; i < 20 && same[t]; ++i) {
        auto kernel = trial_.Compile();
        auto run = kernel.ok() ? RunTrial(trial_, **kernel)
                               : absl::StatusOr<TrialRun>(kernel.status());
        same[t] = run.ok();
        for (size_t o = 0; run.ok() && o < run->outputs.size(); ++o) {
          same[t] = same[t] && run->outputs[o].SameBits(first_.outputs[o]);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (char one : same) {
    if (one) continue;
    return findings_.Fail(
        At() + ": wrong results when several kernels run at once; share " +
        "nothing that changes between kernels");
  }
}

void OpCheck::Leaks() {
  findings_.Begin("leaks");
  const auto cycle = [&] {
    auto kernel = trial_.Compile();
    if (kernel.ok()) RunTrial(trial_, **kernel).status().IgnoreError();
  };
  // What a library keeps for itself, and what the allocator holds back, grows
  // now and then; a leak grows every time.
  constexpr int kCycles = 200;
  size_t lost = std::numeric_limits<size_t>::max();
  for (int i = 0; i < 20; ++i) cycle();
  for (int round = 0; round < 6 && lost >= 8; ++round) {
    const size_t before = mallinfo2().uordblks;
    for (int i = 0; i < kCycles; ++i) cycle();
    const size_t after = mallinfo2().uordblks;
    lost = std::min(lost, after > before ? (after - before) / kCycles : 0);
  }
  if (lost < 8) return;
  findings_.Fail(absl::StrCat(At(), ": ", lost,
                              " bytes are lost with each kernel; free in ",
                              "`destroy` all that `create` and `run` take"));
}

void OpCheck::NotANumber() {
  findings_.Begin("NaN");
  if (trial_.inputs.empty() || !traits_.differentiable ||
      trial_.inputs[0].type.dtype != DType::kFloat) {
    return;
  }
  Trial trial = trial_;
  trial.inputs[0] = trial.inputs[0].Copy();
  trial.inputs[0].view().floats()[0] = std::numeric_limits<float>::quiet_NaN();
  auto run = RunTrial(trial, *kernel_);
  if (!run.ok()) return;  // it says so: as good
  for (const FencedTensor& output : run->outputs) {
    if (output.type.dtype != DType::kFloat) continue;
    for (int64_t i = 0; i < output.type.shape.elements(); ++i) {
      if (std::isnan(output.view().floats()[i])) return;
    }
  }
  findings_.Note(At() + ": a NaN in input 0 doesn't show in any output, so " +
                 "training would not notice it");
}

}  // namespace

std::vector<TrialCase> GuessCases(const Op& op, int inputs) {
  std::vector<TrialCase> cases;
  const auto params = std::shared_ptr<const OpParams>(op.NewParams());
  for (const Shape& shape :
       {Shape({-1, 6}), Shape({-1, 33}), Shape({-1, 3, 4, 4}), Shape({-1, 12}),
        Shape({-1})}) {
    TrialCase one;
    one.params = params;
    one.types.assign(inputs, {DType::kFloat, shape});
    one.text = shape.ToString();
    if (op.Infer(*params, one.types).ok()) cases.push_back(std::move(one));
    if (cases.size() == 3) break;
  }
  return cases;
}

absl::StatusOr<TrialCase> ParseCase(const Op& op, const std::string& text) {
  TrialCase one;
  one.text = text;
  const size_t brace = text.find('{');
  std::shared_ptr<OpParams> params = op.NewParams();
  if (brace != std::string::npos) {
    const size_t end = text.rfind('}');
    if (end == std::string::npos || end < brace) {
      return Invalid("example \"", text, "\": a } is missing");
    }
    const absl::Status parsed =
        ParseParams(text.substr(brace + 1, end - brace - 1), params.get());
    if (!parsed.ok()) return Annotate(parsed, "example");
  }
  one.params = std::move(params);
  const std::string shapes = text.substr(0, brace);
  for (absl::string_view piece : absl::StrSplit(shapes, '[')) {
    const size_t close = piece.find(']');
    if (close == absl::string_view::npos) continue;
    TensorType type;
    for (absl::string_view dim :
         absl::StrSplit(piece.substr(0, close), ',', absl::SkipWhitespace())) {
      dim = absl::StripAsciiWhitespace(dim);
      int64_t size = 1;
      const bool batched = absl::ConsumeSuffix(&dim, "B");
      if (!(batched && dim.empty()) && !absl::SimpleAtoi(dim, &size)) {
        return Invalid("example \"", text, "\": a shape cannot be read");
      }
      type.shape.push_back(batched ? -size : size);
    }
    if (absl::StrContains(piece.substr(close), "INT32")) {
      type.dtype = DType::kInt32;
    }
    one.types.push_back(std::move(type));
  }
  return one;
}

void CheckOpCase(const OpRegistry& registry, const Op& op,
                 const TrialCase& trial_case, const OpTraits& traits,
                 Findings& findings) {
  uint64_t seed = 1;
  for (int64_t batch : {1, 2, 7}) {
    findings.Begin("shapes");
    auto trial = Trial::Make(registry, op, trial_case.params, trial_case.types,
                             batch, kLabels, seed += 100);
    if (!trial.ok()) {
      findings.Fail(
          absl::StrCat("at ", trial_case.text, ": ", trial.status().message()));
      return;
    }
    OpCheck check(*trial, traits, findings);
    if (!check.Forward()) return;
    check.Repeats();
    check.InPlace();
    check.Gradient();
    check.NotANumber();
    if (batch != 2) continue;
    check.Threads();
    check.Leaks();
  }
}

}  // namespace tamer
