#include "plugins/check/check.h"

#include <omp.h>

#include <cmath>

#include "core/collective/collective.h"
#include "plugins/check/op_check.h"
#include "plugins/host/library.h"
#include "plugins/host/plugins.h"
#include "plugins/host/tables.h"

namespace tamer {
namespace {

constexpr int kSeconds = 60;

// Puts "passed" results before those found.
void AddPassed(const std::string& subject,
               const std::vector<std::string>& checks,
               std::vector<CheckResult>* results) {
  std::vector<CheckResult> passed;
  for (const std::string& check : checks) {
    passed.push_back({CheckResult::kPassed, subject, check, ""});
  }
  results->insert(results->begin(), passed.begin(), passed.end());
}

// Tries one op, whatever its kind, with all of its cases.
std::vector<CheckResult> CheckOneOp(const OpRegistry& registry, const Op& op,
                                    const std::string& subject,
                                    const std::vector<TrialCase>& cases,
                                    const OpTraits& traits) {
  if (cases.empty()) {
    return {{CheckResult::kFailed, subject, "shapes",
             "its shape rule refused every shape that was tried; give it "
             "examples"}};
  }
  auto results = InChild(subject, kSeconds, [&](Findings& findings) {
    for (const TrialCase& one : cases) {
      CheckOpCase(registry, op, one, traits, findings);
    }
  });
  for (const CheckResult& result : results) {
    if (result.verdict == CheckResult::kFailed) return results;
  }
  std::vector<std::string> checks = {"shapes", "forward", "determinism"};
  if (traits.in_place) checks.push_back("in place");
  if (traits.differentiable) checks.push_back("gradient");
  for (const char* check : {"threads", "leaks", "NaN"}) {
    checks.push_back(check);
  }
  AddPassed(subject, checks, &results);
  return results;
}

std::vector<CheckResult> CheckOps(const Library& library,
                                  const OpRegistry& registry) {
  std::vector<CheckResult> results;
  const auto tables = library.Tables(TAMER_CAPABILITY_OPS);
  for (const void* item : *tables) {
    const TamerOp table = Take(static_cast<const TamerOp*>(item));
    const std::string subject = absl::StrCat("op ", table.name);
    const Op& op = *registry.Find(table.name);
    std::vector<TrialCase> cases;
    bool readable = true;
    for (uint32_t i = 0; i < table.num_examples; ++i) {
      auto one = ParseCase(op, table.examples[i]);
      if (one.ok()) {
        cases.push_back(*std::move(one));
        continue;
      }
      readable = false;
      results.push_back({CheckResult::kFailed, subject, "examples",
                         std::string(one.status().message())});
    }
    if (!readable) continue;
    if (cases.empty()) {
      // Guessing calls the plugin's shape rule, which may crash.
      const auto guess = InChild(subject, kSeconds, [&](Findings& findings) {
        findings.Begin("shapes");
        GuessCases(op, static_cast<int>(table.min_inputs));
      });
      results.insert(results.end(), guess.begin(), guess.end());
      if (!guess.empty()) continue;
      cases = GuessCases(op, static_cast<int>(table.min_inputs));
    }
    OpTraits traits;
    traits.in_place = (table.flags & TAMER_OP_IN_PLACE) != 0;
    traits.differentiable =
        table.backward != nullptr || table.gradient != nullptr;
    const auto found = CheckOneOp(registry, op, subject, cases, traits);
    results.insert(results.end(), found.begin(), found.end());
    if (!traits.differentiable) {
      results.push_back({CheckResult::kNote, subject, "gradient",
                         "it has none, so nothing before it can be trained"});
    }
  }
  return results;
}

std::vector<CheckResult> CheckLosses(const std::vector<std::string>& names,
                                     bool metric, const OpRegistry& registry) {
  std::vector<CheckResult> results;
  for (const std::string& name : names) {
    const Op& op = *registry.Find(name);
    TrialCase one;
    one.params = op.NewParams();
    one.text = "[B, 5]";
    one.types = {{DType::kFloat, Shape({-1, 5})},
                 op.TakesLabels() ? TensorType{DType::kInt32, Shape({-1})}
                                  : TensorType{DType::kFloat, Shape({-1, 5})}};
    OpTraits traits;
    traits.differentiable = !metric;
    const auto found = CheckOneOp(
        registry, op, absl::StrCat(metric ? "metric " : "loss ", name), {one},
        traits);
    results.insert(results.end(), found.begin(), found.end());
  }
  return results;
}

// Whether a rule moves parameters, the same way however they are cut.
void TryUpdate(const OpRegistry& registry, const Op& op, Findings& findings) {
  findings.Begin("update");
  const TensorType type{DType::kFloat, Shape({300, 333})};
  auto trial = Trial::Make(registry, op, op.NewParams(),
                           {type, type, TensorType()}, 1, 1, 5);
  if (!trial.ok()) return findings.Fail(std::string(trial.status().message()));
  trial->inputs[2].view().floats()[0] = 0.01f;
  for (FencedTensor& state : trial->variables) state.Fill(0);
  FencedTensor first;
  for (int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    auto kernel = trial->Compile();
    if (!kernel.ok()) {
      return findings.Fail(std::string(kernel.status().message()));
    }
    auto run = RunTrial(*trial, **kernel);
    if (!run.ok()) return findings.Fail(std::string(run.status().message()));
    if (!run->intact) {
      return findings.Fail("it writes beyond the end of a tensor");
    }
    if (!run->inputs[1].SameBits(trial->inputs[1])) {
      return findings.Fail("it changes the gradient");
    }
    const Tensor p = run->inputs[0].view();
    for (int64_t i = 0; i < p.elements(); ++i) {
      if (!std::isfinite(p.floats()[i])) {
        return findings.Fail("a parameter became NaN or infinite");
      }
    }
    if (threads == 1) first = run->inputs[0];
    if (!first.SameBits(run->inputs[0])) {
      return findings.Fail(
          "the result depends on how the parameter is cut between threads");
    }
  }
  if (first.SameBits(trial->inputs[0])) {
    findings.Note("it changes nothing at learning rate 0.01");
  }
}

std::vector<CheckResult> CheckUpdates(const std::vector<std::string>& names,
                                      const OpRegistry& registry) {
  std::vector<CheckResult> results;
  for (const std::string& name : names) {
    const std::string subject = "update rule " + name;
    auto found = InChild(subject, kSeconds, [&](Findings& findings) {
      TryUpdate(registry, *registry.Find(name), findings);
    });
    if (found.empty()) AddPassed(subject, {"update"}, &found);
    results.insert(results.end(), found.begin(), found.end());
  }
  return results;
}

std::vector<CheckResult> CheckReaders(const std::vector<std::string>& names) {
  std::vector<CheckResult> results;
  for (const std::string& name : names) {
    results.push_back({CheckResult::kNote, "reader " + name, "data",
                       "its table is in order; what it reads only your data "
                       "can show"});
  }
  return results;
}

void TryCollective(const CollectiveTransport& transport, Findings& findings) {
  findings.Begin("join");
  auto group = transport.Join(*transport.NewParams());
  if (!group.ok()) {
    return findings.Note(absl::StrCat("it cannot be joined with its defaults: ",
                                      group.status().message()));
  }
  if ((*group)->size() != 1) {
    return findings.Note("more than one rank: try it by training");
  }
  findings.Begin("all_reduce_sum");
  Fenced memory(1001 * 4);
  float* data = static_cast<float*>(memory.data());
  for (int i = 0; i < 1001; ++i) data[i] = static_cast<float>(i);
  const absl::Status status = (*group)->AllReduceSum(data, 1001);
  if (!status.ok()) return findings.Fail(std::string(status.message()));
  for (int i = 0; i < 1001; ++i) {
    if (data[i] != static_cast<float>(i)) {
      return findings.Fail("the sum over one rank isn't its own data");
    }
  }
  findings.Begin("broadcast");
  absl::Status other = (*group)->Broadcast(data, 1001 * 4, 0);
  other.Update((*group)->Barrier());
  if (!other.ok()) findings.Fail(std::string(other.message()));
}

std::vector<CheckResult> CheckCollectives(const std::vector<std::string>& names,
                                          const OpRegistry& registry) {
  std::vector<CheckResult> results;
  for (const std::string& name : names) {
    const auto& transport = static_cast<const CollectiveTransport&>(
        *registry.FindExtension(CollectiveTransport::Kind(), name));
    const std::string subject = "collective " + name;
    auto found = InChild(subject, kSeconds, [&](Findings& findings) {
      TryCollective(transport, findings);
    });
    if (found.empty()) {
      AddPassed(subject, {"join", "all_reduce_sum", "broadcast"}, &found);
    }
    results.insert(results.end(), found.begin(), found.end());
  }
  return results;
}

}  // namespace

absl::StatusOr<std::vector<CheckResult>> CheckPlugin(
    const std::string& path,
    const std::function<absl::Status(OpRegistry&)>& register_builtins) {
  OpRegistry registry;
  TAMER_RETURN_IF_ERROR(register_builtins(registry));
  Plugins plugins("");
  TAMER_RETURN_IF_ERROR(plugins.Load(
      path.find('/') == std::string::npos ? "./" + path : path, "", registry));
  const PluginContents contents = plugins.loaded().front();
  const Library& library = contents.library;
  const auto text = [](const char* text) {
    return std::string(text == nullptr ? "?" : text);
  };
  std::vector<CheckResult> results = {
      {CheckResult::kPassed, "plugin " + library.file, "load",
       absl::StrCat(text(library.plugin.name), " ",
                    text(library.plugin.version), ", interface ",
                    library.plugin.abi_version)}};
  for (const auto& part : {CheckOps(library, registry),
                           CheckLosses(contents.losses, false, registry),
                           CheckLosses(contents.metrics, true, registry),
                           CheckUpdates(contents.updates, registry),
                           CheckReaders(contents.readers),
                           CheckCollectives(contents.collectives, registry)}) {
    results.insert(results.end(), part.begin(), part.end());
  }
  return results;
}

}  // namespace tamer
