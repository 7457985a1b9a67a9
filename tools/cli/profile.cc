#include "core/profile/profile.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_format.h"
#include "core/passes/passes.h"
#include "core/train/files.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"
#include "tools/cli/source.h"

namespace tamer {
namespace {

struct Options {
  std::string file, after, trace;
  int64_t batch = 0;
  int threads = 0, steps = 200;
  bool roofline = false;
  bool json = false;
};

nlohmann::ordered_json ToJson(const Roofline& roofline) {
  nlohmann::ordered_json json;
  json["threads"] = roofline.threads;
  json["fma_gflops"] = roofline.fma_flops / 1e9;
  json["matmul_gflops"] = roofline.matmul_flops / 1e9;
  json["levels"] = nlohmann::json::array();
  for (const Roofline::Level& level : roofline.levels) {
    json["levels"].push_back({{"name", level.name},
                              {"bytes", level.bytes},
                              {"gb_per_s", level.bytes_per_second / 1e9}});
  }
  return json;
}

void PrintRoofline(const Roofline& roofline) {
  std::printf(
      "%d thread(s): %.0f GFLOP/s of multiply-adds, %.0f GFLOP/s of "
      "matrix products\n",
      roofline.threads, roofline.fma_flops / 1e9, roofline.matmul_flops / 1e9);
  Table table({"working set in", "bytes", "GB/s"});
  for (const Roofline::Level& level : roofline.levels) {
    table.Add({level.name, BytesText(level.bytes),
               absl::StrFormat("%.1f", level.bytes_per_second / 1e9)});
  }
  std::printf("%s", table.ToString().c_str());
}

// The graph that a recipe trains last, unless told otherwise.
std::string DefaultPass(const NamedNetwork& named) {
  const auto names = PassNames(named);
  return names.back();
}

nlohmann::ordered_json ToJson(const Profile& profile) {
  nlohmann::ordered_json json;
  json["batch"] = profile.batch;
  json["threads"] = profile.threads;
  json["step_us"] = profile.step_seconds * 1e6;
  json["samples_per_second"] = profile.batch / profile.step_seconds;
  json["flops"] = profile.flops;
  json["working_set"] = profile.working_set;
  json["compute_us"] = profile.compute_seconds * 1e6;
  json["traffic_us"] = profile.traffic_seconds * 1e6;
  json["elsewhere_us"] = profile.overhead_seconds * 1e6;
  json["nodes"] = nlohmann::json::array();
  for (const ProfiledNode& node : profile.nodes) {
    json["nodes"].push_back({{"name", node.name},
                             {"op", node.op},
                             {"us", node.seconds * 1e6},
                             {"flops", node.flops},
                             {"bytes", node.bytes},
                             {"share_of_roofline", node.share_of_roofline}});
  }
  return json;
}

void PrintProfile(const Profile& profile) {
  double sum = 0;
  for (const ProfiledNode& node : profile.nodes) sum += node.seconds;
  Table table(
      {"node", "op", "us", "%", "MFLOP", "KiB", "GFLOP/s", "roofline %"});
  for (const ProfiledNode& node : profile.nodes) {
    table.Add({node.name, node.op, absl::StrFormat("%.1f", node.seconds * 1e6),
               absl::StrFormat("%.1f", 100 * node.seconds / sum),
               absl::StrFormat("%.3f", node.flops / 1e6),
               absl::StrFormat("%.0f", node.bytes / 1024.0),
               absl::StrFormat("%.1f", node.flops / node.seconds / 1e9),
               absl::StrFormat("%.0f", 100 * node.share_of_roofline)});
  }
  std::printf("%s", table.ToString().c_str());
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  const int threads =
      options.threads > 0
          ? options.threads
          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  if (options.file.empty() && !options.roofline) {
    return Invalid(
        "nothing to profile: name a recipe or a network, or say "
        "--roofline");
  }
  TAMER_ASSIGN_OR_RETURN(const Roofline roofline,
                         MeasureRoofline(registry, threads));
  nlohmann::ordered_json json;
  json["roofline"] = ToJson(roofline);
  if (options.roofline && !options.json) PrintRoofline(roofline);
  if (!options.file.empty()) {
    TAMER_ASSIGN_OR_RETURN(const NamedNetwork named,
                           OpenNetwork(options.file, registry));
    const std::string pass =
        options.after.empty() ? DefaultPass(named) : options.after;
    TAMER_ASSIGN_OR_RETURN(Graph graph, AfterPass(named, pass));
    TAMER_ASSIGN_OR_RETURN(graph, Fuse(graph, named.recipe.def.precision()));
    ProfileOptions profile_options;
    profile_options.batch =
        options.batch > 0 ? options.batch : named.recipe.def.batch_size();
    profile_options.threads = threads;
    profile_options.steps = options.steps;
    TAMER_ASSIGN_OR_RETURN(const Profile profile,
                           MeasureProfile(graph, roofline, profile_options));
    json["pass"] = pass;
    json["profile"] = ToJson(profile);
    if (!options.trace.empty()) {
      TAMER_RETURN_IF_ERROR(ReplaceFile(options.trace, ChromeTrace(profile)));
    }
    if (!options.json) {
      if (options.roofline) std::printf("\n");
      PrintProfile(profile);
      std::printf("\n%s: %s\n", pass.c_str(),
                  Summary(profile, roofline).c_str());
    }
  }
  if (options.json) std::printf("%s\n", json.dump(2).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddProfile(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "profile",
      "Where the time of a step goes, against what this machine can do.");
  command->add_option("file", options->file,
                      "A recipe, a network, a product or a run directory.");
  command->add_option(
      "--after", options->after,
      "The pass whose graph is run: infer, STAGE or STAGE/LAYER; the recipe's "
      "last stage, or infer.");
  command->add_flag("--roofline", options->roofline,
                    "Print the machine's peaks and bandwidths, too.");
  command->add_option("--trace", options->trace,
                      "Write a few steps for Chrome's tracing or Perfetto.");
  command
      ->add_option("--batch", options->batch,
                   "Samples in a minibatch; the recipe's, or 10.")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--steps", options->steps, "How many steps are timed.")
      ->check(CLI::Range(1, 1000000));
  command
      ->add_option("--threads", options->threads,
                   "Threads inside each op; 0 for all cores.")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print as JSON.");
  command->footer(
      "Example: tamer profile examples/fashion_dbn/recipe.pbtxt --trace "
      "step.json");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
