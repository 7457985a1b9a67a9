#ifndef TAMER_CORE_ADVISE_SUBJECT_H_
#define TAMER_CORE_ADVISE_SUBJECT_H_

#include <memory>
#include <string>
#include <vector>

#include "core/advise/advice.h"
#include "core/advise/data_facts.h"
#include "core/advise/layers.h"

namespace tamer {

// What rules look at: a recipe, its network and its data, prepared so that a
// rule is a few lines.

// A solver of a stage or of one of its layers.
struct SolverFacts {
  const SolverDef* def = nullptr;
  // "stage.labels.solver"
  std::string path;
  // "sgd", "nesterov", "adam", …
  std::string rule;
  double rate = 0;
  double momentum = 0;                // of sgd and nesterov
  bool steps_along_gradient = false;  // sgd or nesterov
  // The layer whose own it is, or "".
  std::string layer;
};

// What a loss sees.
struct PredictionFacts {
  std::string loss;  // the op's name, "" if there is none
  // The last op before it that bends: "SOFTMAX", "SIGMOID", … or "LINEAR".
  std::string activation = "LINEAR";
  const Node* activation_node = nullptr;
  const Layer* layer = nullptr;  // that makes it; null if it is no plain one
  int64_t width = 0;             // elements for each label
  bool dropped = false;          // noise stands between layer and loss
};

struct StageFacts {
  const StageDef* def = nullptr;
  std::string path;  // "stage.labels"
  int batch = 10;    // with accumulation
  int epochs = 0;
  // Whether it starts from initial values: nothing before it was trained.
  bool fresh = false;
  // Whether some stage before it pretrained, or a product is loaded.
  bool pretrained = false;
  std::vector<SolverFacts> solvers;
  PredictionFacts prediction;
  // Whether its loss takes the data's labels for classes, not for quantities.
  bool classifies = false;
  const DataDef* data_def = nullptr;
  std::string data_path;  // "data" or "stage.labels.data"
  // Why the data can't be read; "" if they can, or nobody tried.
  std::string data_error;
  // Null if data were not read, or the recipe has no such part.
  std::shared_ptr<const DataFacts> train, test;
  std::shared_ptr<const PairFacts> pair;

  bool finetune() const { return def->has_finetune(); }
  const std::string& name() const { return def->name(); }
  // 0 if data were not read.
  int64_t samples() const { return train == nullptr ? 0 : train->samples; }
};

struct Subject {
  const Recipe* recipe = nullptr;
  std::string network_file;
  Graph network;
  NetworkFacts facts;
  std::vector<StageFacts> stages;

  explicit Subject(const OpRegistry* registry) : network(registry) {}
  const RecipeDef& def() const { return recipe->def; }
};
std::unique_ptr<Subject> MakeSubject(const Recipe& recipe, const Graph& network,
                                     bool with_data);

}  // namespace tamer

#endif  // TAMER_CORE_ADVISE_SUBJECT_H_
