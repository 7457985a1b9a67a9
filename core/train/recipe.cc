#include "core/train/recipe.h"

#include <cmath>
#include <set>

#include "absl/strings/str_join.h"
#include "core/base/cpu.h"
#include "core/base/suggest.h"
#include "core/graph/text.h"
#include "core/parallel/rates.h"
#include "core/passes/solver.h"
#include "core/train/files.h"
#include "core/train/override.h"
#include "core/train/schedule.h"

namespace tamer {
namespace {

// Collects faults, so that all of a file are told at once.
class Faults {
 public:
  explicit Faults(std::string file) : file_(std::move(file)) {}

  template <typename... Pieces>
  void Add(const Pieces&... pieces) {
    lines_.push_back(absl::StrCat(file_, ": ", pieces...));
  }
  void Add(const std::string& where, const absl::Status& status) {
    if (!status.ok()) Add(where, status.message());
  }
  absl::Status status() const {
    if (lines_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(lines_, "\n"));
  }

 private:
  std::string file_;
  std::vector<std::string> lines_;
};

constexpr int kMostEpochs = 1'000'000;
constexpr int kLargestBatch = 1 << 20;

void CheckSolverOf(const std::string& where, const SolverDef& solver,
                   Faults* faults) {
  faults->Add(where, CheckSolver(solver));
  faults->Add(where, CheckSchedule(solver));
}

void CheckEpochs(const std::string& where, int epochs, Faults* faults) {
  if (epochs < 1 || epochs > kMostEpochs) {
    faults->Add(where, "epochs is ", epochs, "; it must be 1 to ", kMostEpochs);
  }
}

void CheckPretrain(const std::string& where, const StageDef& stage,
                   Faults* faults) {
  const PretrainDef& pretrain = stage.pretrain();
  CheckEpochs(where, pretrain.epochs(), faults);
  if (pretrain.layer().empty()) {
    faults->Add(where, "pretrain names no layer; add layer { node: \"h1\" ",
                "rbm {} }");
  }
  bool all_have_solvers = true;
  for (const PretrainLayer& layer : pretrain.layer()) {
    const std::string at =
        absl::StrCat(where, "layer \"", layer.node(), "\": ");
    if (layer.node().empty()) faults->Add(at, "no node is named");
    if (layer.method_case() == PretrainLayer::METHOD_NOT_SET) {
      faults->Add(at, "no method is given; add rbm {}");
    }
    if (layer.has_epochs()) CheckEpochs(at, layer.epochs(), faults);
    if (layer.has_solver()) CheckSolverOf(at, layer.solver(), faults);
    all_have_solvers = all_have_solvers && layer.has_solver();
  }
  if (stage.has_solver() || !all_have_solvers) {
    CheckSolverOf(where, stage.solver(), faults);
  }
}

void CheckFinetune(const std::string& where, const StageDef& stage,
                   const DataDef& data, Faults* faults) {
  const FinetuneDef& finetune = stage.finetune();
  CheckEpochs(where, finetune.epochs(), faults);
  CheckSolverOf(where, stage.solver(), faults);
  if (!finetune.has_loss()) {
    faults->Add(where, "finetune has no loss; add ",
                "loss { [op/SoftmaxCrossEntropy] {} }");
  }
  if (!finetune.has_early_stopping()) return;
  const EarlyStoppingDef& stopping = finetune.early_stopping();
  const std::set<std::string> metrics = {"loss", "accuracy", "rmse",
                                         "perplexity"};
  if (metrics.count(stopping.metric()) == 0) {
    faults->Add(where, "early_stopping.metric is \"", stopping.metric(),
                "\"; it may be loss, accuracy, rmse or perplexity");
  }
  if (stopping.patience() < 1) {
    faults->Add(where, "early_stopping.patience is ", stopping.patience(),
                "; it must be at least 1 epoch");
  }
  if (!std::isfinite(stopping.min_delta()) || stopping.min_delta() < 0) {
    faults->Add(where, "early_stopping.min_delta is ", stopping.min_delta(),
                "; it must be at least 0");
  }
  if (!data.has_validation() && !(data.validation_share() > 0)) {
    faults->Add(
        where, "early_stopping needs validation data; add ",
        "data { validation_share: 0.1 } or data { validation { ... } }");
  }
}

void CheckData(const std::string& where, const DataDef& data, Faults* faults) {
  if (!data.has_train()) {
    faults->Add(where, "data.train is missing; add ",
                "data { train { idx { ... } } }");
  }
  const float share = data.validation_share();
  if (!(share >= 0 && share < 1)) {
    faults->Add(where, "data.validation_share is ", share,
                "; it must be in [0, 1)");
  }
  if (data.buckets() < 1 || data.buckets() > 16) {
    faults->Add(where, "data.buckets is ", data.buckets(),
                "; it must be 1 to 16");
  }
  if (data.has_validation() && share > 0) {
    faults->Add(where, "data has both validation and validation_share; ",
                "keep one");
  }
}

// What recipe and stages say of a step alike.
template <typename Def>
void CheckStep(const std::string& where, const Def& def, Faults* faults) {
  if (def.has_accumulate() &&
      (def.accumulate() < 1 || def.accumulate() > kLargestBatch)) {
    faults->Add(where, "accumulate is ", def.accumulate(), "; it must be 1 to ",
                kLargestBatch);
  }
  const RecomputeDef& recompute = def.recompute();
  if (recompute.has_every() && recompute.every() < 1) {
    faults->Add(where, "recompute.every is ", recompute.every(),
                "; it must be at least 1");
  }
  if (recompute.has_every() && recompute.node_size() > 0) {
    faults->Add(where, "recompute has both every and node; keep one");
  }
}

void CheckWorkers(const RecipeDef& def, Faults* faults) {
  if (!def.has_parallel()) return;
  faults->Add(std::string(), CheckParallel(def.parallel()));
}

void CheckStages(const RecipeDef& def, Faults* faults) {
  if (def.stage().empty()) {
    faults->Add("there is no stage; add stage { name: ... finetune { ... } }");
  }
  std::set<std::string> names;
  for (int i = 0; i < def.stage_size(); ++i) {
    const StageDef& stage = def.stage(i);
    const std::string where = absl::StrCat("stage \"", stage.name(), "\": ");
    if (stage.name().empty() ||
        stage.name().find_first_of("/. ") != std::string::npos) {
      faults->Add(where, "stage ", i,
                  " needs a name without '/', '.' or space");
    }
    if (!names.insert(stage.name()).second) {
      faults->Add(where, "two stages bear this name");
    }
    if (stage.has_batch_size() &&
        (stage.batch_size() < 1 || stage.batch_size() > kLargestBatch)) {
      faults->Add(where, "batch_size is ", stage.batch_size(),
                  "; it must be 1 to ", kLargestBatch);
    }
    CheckStep(where, stage, faults);
    faults->Add(where, ParentStage(def, i).status());
    if (stage.has_data()) CheckData(where, stage.data(), faults);
    if (stage.has_load() && stage.load().product().empty()) {
      faults->Add(where, "load names no product");
    }
    if (stage.has_load() && stage.has_from()) {
      faults->Add(where, "it has both from and load; keep one");
    }
    const DataDef& data = DataOf(def, stage);
    if (stage.has_pretrain()) {
      CheckPretrain(where, stage, faults);
    } else if (stage.has_finetune()) {
      CheckFinetune(where, stage, data, faults);
    } else {
      faults->Add(where,
                  "it has neither pretrain { ... } nor finetune { ... }");
    }
  }
}

// Sets validation data apart if the recipe asks for a share.
absl::Status Split(const Recipe& recipe, TrainingData* data) {
  const double share = recipe.def.data().validation_share();
  if (data->validation != nullptr || share <= 0) return absl::OkStatus();
  SplitResult split = RandomSplit(*data->train, share, recipe.def.seed());
  if (split.part->size == 0 || split.rest->size == 0) {
    return Invalid(recipe.file, ": data.validation_share is ", share, ": of ",
                   data->train->size, " samples one part would be empty");
  }
  data->train = split.rest;
  data->validation = split.part;
  return absl::OkStatus();
}

// Another part of the data, with the training data's classes.
absl::StatusOr<std::shared_ptr<const Dataset>> ReadAlike(
    const DataSource& source, const std::string& folder,
    const OpRegistry* registry, const Dataset& train) {
  TAMER_ASSIGN_OR_RETURN(auto read, ReadDataset(source, folder, registry));
  const Dataset& other = *read;
  if (train.sample_elements() == other.sample_elements() &&
      (train.dtype == DType::kInt32) == (other.dtype == DType::kInt32)) {
    if (train.pieces != other.pieces) {
      return Invalid(other.source, ": its tokens are of other pieces than ",
                     train.source, "'s");
    }
    return WithClasses(std::move(read), train.class_names);
  }
  return Invalid(other.source, ": samples are ", other.sample_shape.ToString(),
                 ", but ", train.source, "'s are ",
                 train.sample_shape.ToString());
}

}  // namespace

const DataDef& DataOf(const RecipeDef& recipe, const StageDef& stage) {
  return stage.has_data() ? stage.data() : recipe.data();
}

int64_t BatchOf(const RecipeDef& recipe, const StageDef& stage) {
  return stage.has_batch_size() ? stage.batch_size() : recipe.batch_size();
}

int AccumulateOf(const RecipeDef& recipe, const StageDef& stage) {
  return stage.has_accumulate() ? stage.accumulate() : recipe.accumulate();
}

absl::StatusOr<int> ParentStage(const RecipeDef& def, int index) {
  const StageDef& stage = def.stage(index);
  if (stage.has_load()) return -1;
  if (!stage.has_from()) return index - 1;
  if (stage.from().empty()) return -1;
  std::vector<std::string> earlier;
  for (int i = 0; i < index; ++i) {
    if (def.stage(i).name() == stage.from()) return i;
    earlier.push_back(def.stage(i).name());
  }
  return Invalid("from names no earlier stage \"", stage.from(), "\"",
                 DidYouMean(stage.from(), earlier));
}

absl::Status CheckRecipe(const RecipeDef& def, const std::string& file) {
  if (def.format_version() > kRecipeFormatVersion) {
    return Invalid(file, ": format_version ", def.format_version(),
                   " is newer than this binary's ", kRecipeFormatVersion,
                   "; use a newer Tamer");
  }
  Faults faults(file);
  if (def.name().empty() || def.name().find('/') != std::string::npos) {
    faults.Add("the recipe needs a name, without '/'");
  }
  if (def.graph_file().empty()) faults.Add("graph_file is missing");
  if (def.batch_size() < 1 || def.batch_size() > kLargestBatch) {
    faults.Add("batch_size is ", def.batch_size(), "; it must be 1 to ",
               kLargestBatch);
  }
  bool all_have_data = !def.stage().empty();
  for (const StageDef& stage : def.stage()) {
    all_have_data = all_have_data && stage.has_data();
  }
  if (def.has_data() || !all_have_data) CheckData("", def.data(), &faults);
  if (!(def.checkpoint_every_seconds() > 0)) {
    faults.Add("checkpoint_every_seconds is ", def.checkpoint_every_seconds(),
               "; it must be above 0");
  }
  if (def.checkpoint_every_steps() < 0) {
    faults.Add("checkpoint_every_steps is ", def.checkpoint_every_steps(),
               "; it must be at least 0");
  }
  if (def.keep_checkpoints() < 1 || def.keep_checkpoints() > 1000) {
    faults.Add("keep_checkpoints is ", def.keep_checkpoints(),
               "; it must be 1 to 1000");
  }
  CheckWorkers(def, &faults);
  const ThreadsDef& threads = def.threads();
  if (threads.intra_op() < 0 || threads.intra_op() > 1024 ||
      threads.inter_op() < 1 || threads.inter_op() > 1024) {
    faults.Add("threads: intra_op must be 0 (all) to 1024, inter_op 1 to 1024");
  }
  CheckStep("", def, &faults);
  if (def.precision() == BF16 && !CpuHasBf16()) faults.Add(kNoBf16);
  CheckStages(def, &faults);
  return faults.status();
}

absl::StatusOr<Recipe> LoadRecipe(const std::string& path,
                                  const std::vector<std::string>& overrides,
                                  const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Recipe recipe;
  recipe.file = path;
  const size_t slash = path.find_last_of('/');
  if (slash != std::string::npos) recipe.folder = path.substr(0, slash);
  absl::Status parsed = ParseText(text, path, registry, &recipe.def);
  // The rest of the text may be understood only with the plugins it names.
  const auto plugins = recipe.def.plugin();
  for (const std::string& plugin : plugins) {
    const absl::Status status = registry.LoadPlugin(plugin, recipe.folder);
    if (!status.ok()) return Annotate(status, path);
  }
  if (!plugins.empty()) parsed = ParseText(text, path, registry, &recipe.def);
  TAMER_RETURN_IF_ERROR(parsed);
  for (const std::string& assignment : overrides) {
    TAMER_RETURN_IF_ERROR(ApplyOverride(assignment, &recipe.def));
  }
  TAMER_RETURN_IF_ERROR(CheckRecipe(recipe.def, path));
  return recipe;
}

absl::StatusOr<TrainingData> LoadStageData(const Recipe& recipe,
                                           const StageDef& stage,
                                           const OpRegistry* registry) {
  if (!stage.has_data()) return LoadData(recipe, registry);
  Recipe own = recipe;
  *own.def.mutable_data() = stage.data();
  return LoadData(own, registry);
}

std::string Fingerprint(const Dataset& data) {
  const auto raw = [](const auto& values) {
    return absl::string_view(reinterpret_cast<const char*>(values.data()),
                             values.size() * sizeof(values[0]));
  };
  return Sha256({absl::StrCat(data.sample_shape.ToString(), " x ", data.size),
                 raw(data.bytes), raw(data.floats), raw(data.tokens),
                 raw(data.labels), raw(data.lengths)});
}

absl::StatusOr<TrainingData> LoadData(const Recipe& recipe,
                                      const OpRegistry* registry) {
  const DataDef& def = recipe.def.data();
  TrainingData data;
  TAMER_ASSIGN_OR_RETURN(data.train,
                         ReadDataset(def.train(), recipe.folder, registry));
  if (def.has_validation()) {
    TAMER_ASSIGN_OR_RETURN(
        data.validation,
        ReadAlike(def.validation(), recipe.folder, registry, *data.train));
  }
  if (def.has_test()) {
    TAMER_ASSIGN_OR_RETURN(
        data.test, ReadAlike(def.test(), recipe.folder, registry, *data.train));
  }
  TAMER_RETURN_IF_ERROR(Split(recipe, &data));
  if (def.scale() == STANDARDIZE && data.train->dtype == DType::kInt32) {
    return Invalid(recipe.file, ": data.scale is STANDARDIZE, but the samples ",
                   "of ", data.train->source, " are tokens");
  }
  data.scaling = FeatureScaling::Fit(def.scale(), *data.train);
  if (def.buckets() > 1 && data.train->lengths.empty()) {
    return Invalid(recipe.file, ": data.buckets is ", def.buckets(),
                   ", but the samples of ", data.train->source,
                   " have no lengths");
  }
  if (def.has_augment()) {
    auto augment = Augmenter::Make(def.augment(), *data.train);
    if (!augment.ok()) return Annotate(augment.status(), recipe.file);
    data.augment = *augment;
  }
  return data;
}

}  // namespace tamer
