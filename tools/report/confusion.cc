#include "tools/report/confusion.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/train/evaluate.h"
#include "tools/report/images.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMostClasses = 60;
constexpr size_t kEachPair = 6;
constexpr size_t kMostExamples = 400;

struct Example {
  int64_t row = 0;
  int32_t label = 0, predicted = 0;
  float sure = 0;   // of what it predicted
  float right = 0;  // what it gave to the label
};

// What is worst comes first; the row settles ties.
bool Worse(const Example& a, const Example& b) {
  return a.sure != b.sure ? a.sure > b.sure : a.row < b.row;
}

// The worst few of each pair of classes, and of these the worst.
std::vector<Example> Worst(std::vector<Example> wrong) {
  std::sort(wrong.begin(), wrong.end(), Worse);
  std::map<std::pair<int32_t, int32_t>, size_t> taken;
  std::vector<Example> worst;
  for (const Example& example : wrong) {
    if (worst.size() == kMostExamples) break;
    if (taken[{example.label, example.predicted}]++ < kEachPair) {
      worst.push_back(example);
    }
  }
  return worst;
}

Json ToJson(const std::vector<Example>& worst, const Dataset& data) {
  Json json = Json::array();
  std::vector<int64_t> rows;
  for (const Example& example : worst) {
    json.push_back({{"row", example.row},
                    {"label", example.label},
                    {"predicted", example.predicted},
                    {"sure", std::round(1e4 * example.sure) / 1e4},
                    {"right", std::round(1e4 * example.right) / 1e4}});
    rows.push_back(example.row);
  }
  return {{"examples", json}, {"images", SampleImages(data, rows)}};
}

}  // namespace

absl::StatusOr<Json> Confusion(Product* product, const Dataset& data,
                               Scheduler* scheduler) {
  const FinetuneDef* finetune = product->finetune();
  if (finetune == nullptr ||
      finetune->loss().type_url() != "op/SoftmaxCrossEntropy" ||
      data.labels.empty() || data.labels_per_sample != 1) {
    return Json();
  }
  TAMER_ASSIGN_OR_RETURN(const PredictionGraph prediction,
                         MakePredictionGraph(*product));
  const Graph& graph = prediction.graph;
  const Shape& shape =
      graph.value(graph.FindValue(prediction.output)).type.shape;
  const int64_t classes = shape.back();
  if (shape.rank() != 2 || classes > kMostClasses || data.classes() > classes) {
    return Json();
  }
  std::vector<std::vector<int64_t>> counts(classes,
                                           std::vector<int64_t>(classes, 0));
  std::vector<Example> wrong;
  int64_t row = 0, right = 0;
  TAMER_RETURN_IF_ERROR(ForEachOutput(
      graph, prediction.output, data, product->ScalingFor(data),
      &product->variables, scheduler,
      [&](const Tensor& rows, const Batch& batch) {
        for (int64_t i = 0; i < batch.size; ++i, ++row) {
          const float* p = rows.floats() + i * classes;
          const auto best =
              static_cast<int32_t>(std::max_element(p, p + classes) - p);
          const int32_t label = batch.labels[i];
          ++counts[label][best];
          right += best == label;
          if (best != label) {
            wrong.push_back({row, label, best, p[best], p[label]});
          }
        }
      }));
  Json json;
  json["data"] = data.source;
  json["samples"] = row;
  json["accuracy"] = row == 0 ? 0.0 : static_cast<double>(right) / row;
  json["confusion"] = counts;
  json["classes"] = data.class_names;
  for (int64_t i = static_cast<int64_t>(data.class_names.size()); i < classes;
       ++i) {
    json["classes"].push_back(absl::StrCat(i));
  }
  json["worst"] = ToJson(Worst(std::move(wrong)), data);
  return json;
}

}  // namespace tamer
