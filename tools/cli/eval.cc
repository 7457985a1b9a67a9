#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "core/graph/text.h"
#include "core/train/evaluate.h"
#include "core/train/product.h"
#include "core/train/recipe.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"
#include "tools/cli/source.h"

namespace tamer {
namespace {

struct Options {
  std::string product;
  std::string split = "test";
  std::string data;
  int threads = 0;
  bool json = false;
};

// `names` may be empty: numbers then.
std::string ConfusionText(const Evaluation& evaluation,
                          const std::vector<std::string>& names) {
  std::vector<std::string> headings = {"label"};
  const size_t classes = evaluation.confusion.size();
  const auto name = [&](size_t i) {
    return i < names.size() ? names[i] : absl::StrCat(i);
  };
  for (size_t i = 0; i < classes; ++i) headings.push_back(name(i));
  headings.push_back("recall %");
  Table table(headings);
  for (size_t i = 0; i < classes; ++i) {
    std::vector<std::string> cells = {name(i)};
    int64_t sum = 0;
    for (int64_t count : evaluation.confusion[i]) {
      cells.push_back(absl::StrCat(count));
      sum += count;
    }
    cells.push_back(
        sum == 0 ? "-"
                 : absl::StrFormat("%.1f",
                                   100.0 * evaluation.confusion[i][i] / sum));
    table.Add(cells);
  }
  return "confusion (rows: labels, columns: predictions)\n" + table.ToString();
}

void Print(const Evaluation& evaluation, const Dataset& data, bool json) {
  const std::string& source = data.source;
  if (json) {
    nlohmann::ordered_json object;
    object["data"] = source;
    object["samples"] = evaluation.samples;
    for (const auto& value : evaluation.Values("")) {
      object[value.first] = value.second;
    }
    if (!evaluation.confusion.empty()) {
      object["confusion"] = evaluation.confusion;
      if (!data.class_names.empty()) object["classes"] = data.class_names;
    }
    object["seconds"] = evaluation.seconds;
    std::printf("%s\n", object.dump(2).c_str());
    return;
  }
  std::printf("%s: %s samples in %.2f s\n%s\n", source.c_str(),
              WithCommas(evaluation.samples).c_str(), evaluation.seconds,
              MetricsText(evaluation.Values("")).c_str());
  if (!evaluation.confusion.empty()) {
    std::printf("%s", ConfusionText(evaluation, data.class_names).c_str());
  }
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(auto product, OpenProduct(options.product, registry));
  const FinetuneDef* finetune = product->finetune();
  if (finetune == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(product->path,
                     " was pretrained and not yet fine-tuned: it has no loss ",
                     "to evaluate by"));
  }
  TAMER_ASSIGN_OR_RETURN(const auto data, ProductData(*product, options.split,
                                                      options.data, registry));
  ThreadOptions threads;
  threads.intra_op = options.threads;
  Scheduler scheduler(threads);
  TAMER_ASSIGN_OR_RETURN(
      const Evaluation evaluation,
      EvaluateOn(product->network, *finetune, *data, product->ScalingFor(*data),
                 &product->variables, &scheduler));
  Print(evaluation, *data, options.json);
  return absl::OkStatus();
}

}  // namespace

void AddEval(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "eval", "Loss, metric and confusion matrix of a trained network.");
  command
      ->add_option("product", options->product,
                   "A run directory (its last finished stage) or a product.")
      ->required();
  command
      ->add_option("--split", options->split,
                   "Which data of its recipe: test, validation or train.")
      ->check(CLI::IsMember({"test", "validation", "train"}));
  command->add_option("--data", options->data,
                      "Other data, written as in a recipe: 'idx { images: "
                      "\"i.gz\" labels: \"l.gz\" }'.");
  command
      ->add_option("--threads", options->threads,
                   "Threads inside each op; 0 for all cores.")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print the result as JSON.");
  command->footer("Example: tamer eval runs/fashion-dbn --split test");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
