#include "tools/search/budget.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/data/loader.h"
#include "core/data/write.h"
#include "core/train/files.h"

namespace tamer {
namespace {

constexpr int64_t kMostJudges = 5000;
constexpr int64_t kLeastBatches = 50;
// EpochOrder's seed for choosing samples: not an epoch of the training's own.
constexpr uint64_t kChoice = 0x70726f6265;

std::shared_ptr<const Dataset> FirstOf(const Dataset& data,
                                       const std::vector<int64_t>& order,
                                       int64_t begin, int64_t count) {
  return Select(data, std::vector<int64_t>(order.begin() + begin,
                                           order.begin() + begin + count));
}

// A schedule over `epochs` epochs as one over `shorter`.
void Shorten(double ratio, SolverDef* solver) {
  if (solver->has_momentum_ramp()) {
    solver->mutable_momentum_ramp()->set_epochs(
        solver->momentum_ramp().epochs() * ratio);
  }
  if (!solver->has_schedule()) return;
  ScheduleDef& schedule = *solver->mutable_schedule();
  if (schedule.has_warmup()) schedule.set_warmup(schedule.warmup() * ratio);
  if (schedule.has_step()) {
    schedule.mutable_step()->set_every(schedule.step().every() * ratio);
  }
  if (schedule.has_exponential()) {
    schedule.mutable_exponential()->set_factor(
        std::pow(schedule.exponential().factor(), 1 / ratio));
  }
  if (schedule.has_inverse()) {
    schedule.mutable_inverse()->set_gamma(schedule.inverse().gamma() / ratio);
  }
}

int EpochsOf(const StageDef& stage) {
  return stage.has_pretrain() ? stage.pretrain().epochs()
                              : stage.finetune().epochs();
}

}  // namespace

void ShortenEpochs(double ratio, StageDef* stage) {
  const auto shorter = [ratio](int epochs) {
    return std::max(1, static_cast<int>(std::lround(ratio * epochs)));
  };
  const int whole = EpochsOf(*stage);
  const double exact = static_cast<double>(shorter(whole)) / whole;
  if (stage->has_pretrain()) {
    stage->mutable_pretrain()->set_epochs(shorter(whole));
    for (PretrainLayer& layer : *stage->mutable_pretrain()->mutable_layer()) {
      if (layer.has_epochs()) layer.set_epochs(shorter(layer.epochs()));
      if (layer.has_solver()) Shorten(exact, layer.mutable_solver());
    }
  } else {
    stage->mutable_finetune()->set_epochs(shorter(whole));
  }
  if (stage->has_solver()) Shorten(exact, stage->mutable_solver());
}

absl::StatusOr<TrialData> TrialData::Make(const Recipe& recipe,
                                          const StageDef& stage,
                                          const OpRegistry& registry,
                                          const std::string& folder) {
  TrialData made;
  made.folder_ = folder;
  TAMER_ASSIGN_OR_RETURN(const TrainingData data,
                         LoadStageData(recipe, stage, &registry));
  const auto order =
      EpochOrder(data.train->size, recipe.def.seed() ^ kChoice, 0);
  std::shared_ptr<const Dataset> judges = data.validation;
  int64_t begin = 0;
  if (judges == nullptr) {
    begin = std::min<int64_t>(kMostJudges, data.train->size / 6);
    judges = FirstOf(*data.train, order, 0, begin);
  } else if (judges->size > kMostJudges) {
    judges =
        FirstOf(*judges, EpochOrder(judges->size, kChoice, 0), 0, kMostJudges);
  }
  made.train_ = FirstOf(*data.train, order, begin, data.train->size - begin);
  if (made.train_->size == 0 || judges->size == 0) {
    return Invalid(recipe.file, ": too few samples to set some apart");
  }
  made.def_ = recipe.def;
  made.def_.clear_stage();
  // Nobody will look at these runs themselves.
  made.def_.set_histograms(false);
  made.def_.mutable_monitor()->set_on(false);
  *made.def_.add_stage() = stage;
  StageDef& own = *made.def_.mutable_stage(0);
  own.clear_from();
  own.clear_data();
  if (own.has_finetune()) own.mutable_finetune()->clear_early_stopping();
  DataDef& source = *made.def_.mutable_data();
  const DataDef& had = DataOf(recipe.def, stage);
  source = had;
  source.clear_train();
  source.clear_validation();
  source.clear_validation_share();
  TAMER_RETURN_IF_ERROR(MakeFolder(folder));
  TAMER_ASSIGN_OR_RETURN(*source.mutable_test(),
                         WriteDataset(JoinPath(folder, "judges"), *judges));
  return made;
}

absl::StatusOr<RecipeDef> TrialData::Shortened(double share) const {
  RecipeDef def = def_;
  StageDef& stage = *def.mutable_stage(0);
  const int64_t batch = BatchOf(def, stage);
  const int whole = EpochsOf(stage);
  const int64_t least = std::min(kLeastBatches * batch, train_->size);
  const int epochs = std::clamp(
      static_cast<int>(std::lround(whole * std::sqrt(share))), 1, whole);
  const int64_t count = std::clamp(
      static_cast<int64_t>(std::lround(share * whole / epochs * train_->size)),
      least, train_->size);
  ShortenEpochs(static_cast<double>(epochs) / whole, &stage);
  const std::string prefix = JoinPath(folder_, absl::StrCat("train-", count));
  if (!Exists(prefix + "-features.npy")) {
    std::vector<int64_t> rows(count);
    std::iota(rows.begin(), rows.end(), 0);
    TAMER_RETURN_IF_ERROR(
        WriteDataset(prefix, *Select(*train_, rows)).status());
  }
  // Written or not, its files are named alike.
  DataSource source = def.data().test();
  NpySource& npy = *source.mutable_npy();
  npy.set_features(prefix + "-features.npy");
  if (npy.has_labels()) npy.set_labels(prefix + "-labels.npy");
  if (npy.has_lengths()) npy.set_lengths(prefix + "-lengths.npy");
  *def.mutable_data()->mutable_train() = source;
  return def;
}

}  // namespace tamer
