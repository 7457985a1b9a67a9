#include "tools/cli/memory.h"

#include "core/plan/plan.h"
#include "core/train/step.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

struct Arena {
  int64_t planned = 0, unplanned = 0;
};

absl::StatusOr<Arena> ArenaOf(const StepGraphs& step, int64_t batch,
                              Variables* variables) {
  PlanOptions options;
  options.batch = batch;
  TAMER_ASSIGN_OR_RETURN(const auto plan,
                         Plan::Compile(step.graph, options, variables));
  Arena arena{plan->arena_bytes(), plan->unplanned_bytes()};
  if (!step.accumulates) return arena;
  TAMER_ASSIGN_OR_RETURN(const auto update,
                         Plan::Compile(step.update, options, variables));
  arena.planned += update->arena_bytes();
  arena.unplanned += update->unplanned_bytes();
  return arena;
}

// What `graph` takes if run as `options` say.
absl::Status Measure(const NamedNetwork& named, const Graph& graph,
                     StepOptions options, int64_t batch, bool trains,
                     Json* row) {
  const bool asked = options.recompute.has_value();
  const RecomputeDef how = asked ? *options.recompute : RecomputeDef();
  options.recompute.reset();
  TAMER_ASSIGN_OR_RETURN(StepGraphs step, PrepareStep(graph, options, batch));
  Variables variables;
  TAMER_ASSIGN_OR_RETURN(Arena arena, ArenaOf(step, batch, &variables));
  (*row)["planned_bytes"] = arena.planned;
  (*row)["unplanned_bytes"] = arena.unplanned;
  if (trains) {
    options.recompute = how;
    TAMER_ASSIGN_OR_RETURN(step, PrepareStep(graph, options, batch));
    TAMER_ASSIGN_OR_RETURN(arena, ArenaOf(step, batch, &variables));
    (*row)["recompute_bytes"] = arena.planned;
    (*row)["recompute"] = asked;
  }
  int64_t parameters = 0, state = 0;
  for (const auto& entry : variables.all()) {
    const bool own = named.network.FindValue(entry.first) >= 0;
    (own ? parameters : state) += entry.second.bytes();
  }
  (*row)["parameter_bytes"] = parameters;
  (*row)["state_bytes"] = state;
  return absl::OkStatus();
}

}  // namespace

Json MemoryOf(const NamedNetwork& named, int64_t batch) {
  Json rows = Json::array();
  const RecipeDef& recipe = named.recipe.def;
  for (const std::string& pass : PassNames(named)) {
    const bool trains = pass != "infer";
    const StageDef& stage = StageOf(recipe, trains ? pass : "");
    const int64_t samples = batch > 0 ? batch : BatchOf(recipe, stage);
    Json row = {{"stage", pass}, {"batch", samples}};
    StepOptions options;
    if (trains) options = StepOptionsOf(recipe, stage);
    const auto graph = AfterPass(named, pass);
    const absl::Status status =
        graph.ok() ? Measure(named, *graph, options, samples, trains, &row)
                   : graph.status();
    if (!status.ok()) row["error"] = std::string(status.message());
    rows.push_back(row);
  }
  return rows;
}

std::string MemoryTable(const Json& rows) {
  Table table({"stage", "batch", "arena", "every tensor", "recomputing",
               "parameters", "state"});
  std::string errors;
  for (const Json& row : rows) {
    const std::string stage = row["stage"].get<std::string>();
    if (row.contains("error")) {
      errors += stage + ": " + row["error"].get<std::string>() + "\n";
      continue;
    }
    const auto bytes = [&](const char* key) {
      return row.contains(key) ? BytesText(row[key].get<int64_t>()) : "-";
    };
    std::string again = bytes("recompute_bytes");
    if (row.value("recompute", false)) again += " (on)";
    table.Add({stage, std::to_string(row["batch"].get<int64_t>()),
               bytes("planned_bytes"), bytes("unplanned_bytes"), again,
               bytes("parameter_bytes"), bytes("state_bytes")});
  }
  return table.ToString() + errors;
}

}  // namespace tamer
