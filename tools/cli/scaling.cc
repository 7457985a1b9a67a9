#include "tools/cli/scaling.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "core/parallel/averaging.h"
#include "core/parallel/cost.h"
#include "core/passes/accumulate.h"
#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "core/runtime/scheduler.h"
#include "core/runtime/trial.h"
#include "core/train/step.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

constexpr int kWorkers[] = {2, 4, 8, 16, 64, 256, 1024};
constexpr double kGigabits[] = {1, 10, 100};

// The fastest of some steps, in seconds.
absl::StatusOr<double> StepSeconds(const Graph& graph, Precision precision,
                                   int64_t batch) {
  TAMER_ASSIGN_OR_RETURN(const Graph fused, Fuse(graph, precision));
  ThreadOptions threads;
  threads.intra_op = 1;
  Scheduler scheduler(threads);
  PlanOptions options;
  options.batch = batch;
  options.threads = 1;
  Variables variables;
  TAMER_ASSIGN_OR_RETURN(const auto plan,
                         Plan::Compile(fused, options, &variables));
  TrialInputs inputs;
  inputs.Bind(fused, *plan, 1e-6f);
  double best = 1e9;
  const auto began = std::chrono::steady_clock::now();
  for (int step = 0; step < 200; ++step) {
    const auto before = std::chrono::steady_clock::now();
    TAMER_RETURN_IF_ERROR(scheduler.Run(*plan, step));
    const auto after = std::chrono::steady_clock::now();
    best =
        std::min(best, std::chrono::duration<double>(after - before).count());
    if (std::chrono::duration<double>(after - began).count() > 0.5) break;
  }
  return best;
}

int64_t BytesOf(const TensorType& type) {
  return std::abs(type.shape.elements()) * SizeOf(type.dtype);
}

// What workers average: parameters, and the optimizer's state if that is
// averaged, too.
ExchangedBytes AveragedBytes(const Graph& graph, const ParallelDef& def) {
  const bool state = OptimizerStateOf(def) == ParallelDef::AVERAGE;
  const std::vector<std::string> updated = UpdatedBy(graph);
  const std::set<std::string> parameters(updated.begin(), updated.end());
  ExchangedBytes bytes;
  for (ValueId id : graph.variables()) {
    const Value& value = graph.value(id);
    const bool counts = parameters.count(value.name) > 0 ||
                        (state && absl::StartsWith(value.name, kUpdate));
    if (counts) bytes.summed += BytesOf(value.type);
  }
  return bytes;
}

// What so many workers that average gradients exchange for an update: the
// factors of some gradients, the sums of the others; of several minibatches
// sums alone.
absl::StatusOr<ExchangedBytes> GradientBytes(const Graph& graph,
                                             const StepOptions& options,
                                             int64_t batch) {
  TAMER_ASSIGN_OR_RETURN(const AccumulationGraphs split,
                         Accumulate(graph, TeamOf(options, batch)));
  ExchangedBytes bytes;
  for (ValueId id : split.gather.variables()) {
    const Value& value = split.gather.value(id);
    if (absl::StartsWith(value.name, kAccumulated)) {
      bytes.summed += BytesOf(value.type);
    }
  }
  for (const SharedRows& rows : split.shared) {
    const ValueId id = split.gather.FindValue(rows.rows);
    bytes.gathered += batch * BytesOf(split.gather.value(id).type);
  }
  return bytes;
}

absl::StatusOr<ExchangedBytes> BytesBetween(const Graph& graph,
                                            const ParallelDef& def, int workers,
                                            StepOptions options,
                                            int64_t batch) {
  if (!def.has_gradients()) return AveragedBytes(graph, def);
  options.workers = workers;
  return GradientBytes(graph, options, batch);
}

absl::StatusOr<nlohmann::ordered_json> OneStage(const NamedNetwork& named,
                                                const std::string& pass,
                                                int64_t asked) {
  TAMER_ASSIGN_OR_RETURN(const Graph graph, AfterPass(named, pass));
  const RecipeDef& recipe = named.recipe.def;
  const ParallelDef& def = recipe.parallel();
  const StageDef& stage = StageOf(recipe, pass);
  const int64_t batch = asked > 0 ? asked : BatchOf(recipe, stage);
  const StepOptions step = StepOptionsOf(recipe, stage);
  nlohmann::ordered_json json;
  json["stage"] = pass;
  json["batch"] = batch;
  json["accumulate"] = step.accumulate;
  json["average_every"] = def.average_every();
  TAMER_ASSIGN_OR_RETURN(const double seconds,
                         StepSeconds(graph, recipe.precision(), batch));
  json["step_seconds"] = seconds;
  TAMER_ASSIGN_OR_RETURN(const ExchangedBytes of_two,
                         BytesBetween(graph, def, 2, step, batch));
  json["averaged_bytes"] = of_two.summed + of_two.gathered;
  json["forecast"] = nlohmann::json::array();
  for (const double gigabits : kGigabits) {
    for (const int workers : kWorkers) {
      Network network;
      network.bits_per_second = gigabits * 1e9;
      TAMER_ASSIGN_OR_RETURN(const ExchangedBytes bytes,
                             BytesBetween(graph, def, workers, step, batch));
      const ScalingForecast forecast = ForecastScaling(
          def, workers, bytes, seconds * step.accumulate, network);
      json["forecast"].push_back(
          {{"gigabits", gigabits},
           {"workers", workers},
           {"bytes_sent", forecast.bytes_sent},
           {"averaging_seconds", forecast.averaging_seconds},
           {"update_seconds", forecast.step_seconds},
           {"speedup", forecast.speedup},
           {"efficiency", forecast.efficiency}});
    }
  }
  return json;
}

}  // namespace

absl::StatusOr<nlohmann::ordered_json> ScalingOf(const NamedNetwork& named,
                                                 int64_t batch) {
  if (!named.has_recipe) {
    return Invalid(
        "--parallel needs a recipe: what is averaged follows from "
        "its stages");
  }
  nlohmann::ordered_json stages = nlohmann::json::array();
  for (const std::string& pass : PassNames(named)) {
    if (pass == "infer") continue;
    TAMER_ASSIGN_OR_RETURN(auto stage, OneStage(named, pass, batch));
    stages.push_back(std::move(stage));
  }
  return stages;
}

std::string ScalingTable(const nlohmann::ordered_json& stages) {
  std::string text;
  for (const auto& stage : stages) {
    absl::StrAppendFormat(
        &text,
        "%s: a minibatch of %d samples takes %.0f us on one thread, an update "
        "%d of them; every %d update(s) workers average %s\n",
        stage["stage"].get<std::string>(), stage["batch"].get<int>(),
        stage["step_seconds"].get<double>() * 1e6,
        stage["accumulate"].get<int>(), stage["average_every"].get<int>(),
        BytesText(stage["averaged_bytes"].get<int64_t>()));
    Table table({"link", "workers", "sent by each", "an averaging", "speedup",
                 "efficiency"});
    for (const auto& row : stage["forecast"]) {
      table.Add(
          {absl::StrFormat("%g Gb/s", row["gigabits"].get<double>()),
           absl::StrCat(row["workers"].get<int>()),
           BytesText(static_cast<int64_t>(row["bytes_sent"].get<double>())),
           absl::StrFormat("%.2f ms",
                           row["averaging_seconds"].get<double>() * 1e3),
           absl::StrFormat("%.1f", row["speedup"].get<double>()),
           absl::StrFormat("%.0f %%", row["efficiency"].get<double>() * 100)});
    }
    absl::StrAppend(&text, table.ToString(), "\n");
  }
  return text;
}

}  // namespace tamer
