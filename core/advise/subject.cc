#include "core/advise/subject.h"

#include <cmath>
#include <map>

#include "absl/strings/str_split.h"
#include "core/graph/text.h"
#include "core/op/parameters.h"
#include "core/train/files.h"

namespace tamer {
namespace {

using google::protobuf::FieldDescriptor;

SolverFacts SolverOf(const SolverDef& def, const std::string& path,
                     const std::string& layer) {
  SolverFacts facts;
  facts.def = &def;
  facts.path = path;
  facts.layer = layer;
  const auto* oneof = SolverDef::descriptor()->FindOneofByName("rule");
  const auto* reflection = def.GetReflection();
  const FieldDescriptor* rule = reflection->GetOneofFieldDescriptor(def, oneof);
  if (rule == nullptr) return facts;
  facts.rule = rule->name();
  const auto& settings = reflection->GetMessage(def, rule);
  const auto* rate = settings.GetDescriptor()->FindFieldByName("learning_rate");
  if (rate != nullptr) {
    facts.rate = settings.GetReflection()->GetFloat(settings, rate);
  }
  facts.steps_along_gradient = def.has_sgd() || def.has_nesterov();
  if (def.has_sgd()) facts.momentum = def.sgd().momentum();
  if (def.has_nesterov()) facts.momentum = def.nesterov().momentum();
  return facts;
}

void AddSolvers(const StageDef& stage, StageFacts* facts) {
  bool all_own = stage.has_pretrain() && stage.pretrain().layer_size() > 0;
  for (const PretrainLayer& layer : stage.pretrain().layer()) {
    all_own = all_own && layer.has_solver();
    if (!layer.has_solver()) continue;
    facts->solvers.push_back(SolverOf(
        layer.solver(),
        absl::StrCat(facts->path, ".pretrain.layer.", layer.node(), ".solver"),
        layer.node()));
  }
  if (stage.has_solver() && !all_own) {
    facts->solvers.push_back(
        SolverOf(stage.solver(), facts->path + ".solver", ""));
  }
}

std::string LossName(const google::protobuf::Any& loss) {
  return loss.type_url().substr(loss.type_url().rfind('/') + 1);
}

// The layer that makes `value` through activation, noise and new shapes.
void FindPrediction(const Subject& subject, const FinetuneDef& finetune,
                    PredictionFacts* prediction) {
  prediction->loss = LossName(finetune.loss());
  ValueId at = -1;
  if (finetune.has_output()) {
    at = subject.network.FindValue(finetune.output());
  } else if (subject.network.outputs().size() == 1) {
    at = subject.network.outputs()[0];
  }
  if (at < 0) return;
  const Shape& shape = subject.network.value(at).type.shape;
  prediction->width = shape.rank() > 0 ? shape.dim(shape.rank() - 1) : 1;
  while (at >= 0 && subject.network.value(at).kind == Value::kOutput) {
    const Node& node = subject.network.node(subject.network.value(at).node);
    const Layer* layer = subject.facts.FindLayer(node.name);
    if (layer != nullptr) {
      prediction->layer = layer;
      if (prediction->activation_node == nullptr &&
          layer->activation_node == &node) {
        prediction->activation = layer->activation;
        prediction->activation_node = &node;
      }
      return;
    }
    if (node.inputs.size() != 1) return;
    const std::string activation = ActivationOp(node.op->name());
    if (!activation.empty() && prediction->activation_node == nullptr) {
      prediction->activation = activation;
      prediction->activation_node = &node;
    }
    prediction->dropped = prediction->dropped || node.op->IdentityAtInference();
    at = node.inputs[0];
  }
}

// Whether the stage starts from initial values, and whether anything before it
// was pretrained.
void FindOrigin(const RecipeDef& def, int index, StageFacts* facts) {
  facts->fresh = true;
  for (int at = index; at >= 0;) {
    if (at != index) {
      facts->fresh = false;
      facts->pretrained = facts->pretrained || def.stage(at).has_pretrain();
    }
    if (def.stage(at).has_load()) {
      facts->fresh = false;
      facts->pretrained = true;
    }
    const auto parent = ParentStage(def, at);
    at = parent.ok() ? *parent : -1;
  }
}

StageFacts StageOf(const Subject& subject, int index) {
  const RecipeDef& def = subject.def();
  const StageDef& stage = def.stage(index);
  StageFacts facts;
  facts.def = &stage;
  facts.path = absl::StrCat("stage.", stage.name());
  facts.batch = AccumulateOf(def, stage) * BatchOf(def, stage);
  facts.epochs = stage.has_pretrain() ? stage.pretrain().epochs()
                                      : stage.finetune().epochs();
  facts.data_def = &DataOf(def, stage);
  facts.data_path = stage.has_data() ? facts.path + ".data" : "data";
  FindOrigin(def, index, &facts);
  AddSolvers(stage, &facts);
  if (stage.has_finetune()) {
    FindPrediction(subject, stage.finetune(), &facts.prediction);
    const Op* loss = subject.network.registry().Find(facts.prediction.loss);
    facts.classifies = loss != nullptr && loss->TakesLabels() &&
                       stage.finetune().target() == FinetuneDef::LABELS;
  }
  return facts;
}

// Statistics of each part of the data; stages with like data share them.
class DataLooker {
 public:
  explicit DataLooker(const OpRegistry& registry) : registry_(registry) {}

  void Look(const Recipe& recipe, StageFacts* stage) {
    const std::string key = stage->data_def->SerializeAsString();
    const auto found = seen_.find(key);
    if (found == seen_.end()) {
      auto data = LoadStageData(recipe, *stage->def, &registry_);
      if (data.ok()) {
        TakeFacts(*data, stage);
      } else {
        stage->data_error = std::string(data.status().message());
      }
      seen_[key] = *stage;
      return;
    }
    stage->data_error = found->second.data_error;
    stage->train = found->second.train;
    stage->test = found->second.test;
    stage->pair = found->second.pair;
  }

 private:
  static void TakeFacts(const TrainingData& data, StageFacts* stage) {
    stage->train =
        std::make_shared<DataFacts>(FactsOf(*data.train, data.scaling));
    if (data.test == nullptr) return;
    stage->test =
        std::make_shared<DataFacts>(FactsOf(*data.test, data.scaling));
    stage->pair = std::make_shared<PairFacts>(
        FactsOfPair(*data.train, *data.test, data.scaling));
  }

  const OpRegistry& registry_;
  std::map<std::string, StageFacts> seen_;
};

}  // namespace

std::unique_ptr<Subject> MakeSubject(const Recipe& recipe, const Graph& network,
                                     bool with_data) {
  auto subject = std::make_unique<Subject>(&network.registry());
  subject->recipe = &recipe;
  subject->network_file = JoinPath(recipe.folder, recipe.def.graph_file());
  subject->network = network;
  subject->facts = LookAt(subject->network);
  DataLooker looker(network.registry());
  for (int i = 0; i < recipe.def.stage_size(); ++i) {
    subject->stages.push_back(StageOf(*subject, i));
    if (with_data) looker.Look(recipe, &subject->stages.back());
  }
  return subject;
}

}  // namespace tamer
