#include "tools/search/probe.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>

#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/base/suggest.h"
#include "core/train/files.h"
#include "core/train/override.h"
#include "tools/search/budget.h"
#include "tools/search/trial.h"

namespace tamer {
namespace {

// Shares of the stage's cost of each round's runs, 3, 5, 3 and 3 of them, and
// of the range test, with a budget of 2 trainings.
constexpr double kShares[] = {0.03, 0.06, 0.2, 0.3};
constexpr double kRangeShare = 0.1;
constexpr double kFullBudget = 2;
constexpr double kHalf = 3.1622776601683795;  // half a power of ten
constexpr int kRangeSteps = 40;
constexpr double kRangeLow = 1e-6, kRangeHigh = 10;

// To three digits, so that the same rate is one run.
double Rounded(double rate) { return std::stod(RateText(rate)); }

class Prober {
 public:
  Prober(const Recipe& recipe, const OpRegistry& registry,
         const ProbeOptions& options, const ProbeReport& report)
      : recipe_(recipe),
        registry_(registry),
        options_(options),
        report_(report) {}

  absl::StatusOr<ProbeResult> Run() {
    TAMER_RETURN_IF_ERROR(FindStage());
    TAMER_ASSIGN_OR_RETURN(TrialData data,
                           TrialData::Make(recipe_, stage_, registry_,
                                           JoinPath(options_.folder, "data")));
    data_ = std::make_unique<TrialData>(std::move(data));
    trials_.jobs = options_.jobs;
    trials_.recipe = &recipe_;
    trials_.registry = &registry_;
    TAMER_RETURN_IF_ERROR(RangeTest());
    std::vector<double> rates = options_.rates;
    for (int round = 0; round < 4; ++round) {
      TAMER_RETURN_IF_ERROR(RunRates(rates, round));
      const double best = Best(round);
      if (std::isnan(best)) {
        return Invalid(
            "no rate of this round could be trained; the first said: ",
            result_.points.back().error);
      }
      rates = Around(best, round);
    }
    result_.chosen = Best(3);
    // Trials have the judges for test data; the recipe's own were not touched.
    absl::string_view judged = result_.metric;
    if (absl::ConsumePrefix(&judged, "test_")) {
      result_.metric = absl::StrCat("held_out_", judged);
    }
    result_.why = Why();
    return result_;
  }

 private:
  absl::Status FindStage() {
    std::vector<std::string> names;
    int index = -1;
    for (int i = 0; i < recipe_.def.stage_size(); ++i) {
      names.push_back(recipe_.def.stage(i).name());
      if (options_.stage.empty() || names.back() == options_.stage) index = i;
    }
    if (index < 0) {
      return Invalid("there is no stage \"", options_.stage, "\"",
                     DidYouMean(options_.stage, names));
    }
    stage_ = recipe_.def.stage(index);
    result_.stage = stage_.name();
    const SolverDef& solver = stage_.solver();
    const auto* rule = solver.GetReflection()->GetOneofFieldDescriptor(
        solver, SolverDef::descriptor()->FindOneofByName("rule"));
    if (rule == nullptr) {
      return Invalid("stage \"", stage_.name(),
                     "\": its layers have solvers of their own; probe needs "
                     "one of the stage's");
    }
    field_ = absl::StrCat("solver.", rule->name(), ".learning_rate");
    result_.path = absl::StrCat("stage.", stage_.name(), ".", field_);
    return StartFrom(index);
  }

  // A stage that starts from another one's product is probed from that.
  absl::Status StartFrom(int index) {
    TAMER_ASSIGN_OR_RETURN(const int parent, ParentStage(recipe_.def, index));
    if (!options_.product.empty()) {
      LoadDef& load = *stage_.mutable_load();
      load.set_product(options_.product[0] == '/' ? options_.product
                                                  : Here(options_.product));
      for (auto* allow :
           {load.mutable_allow_missing(), load.mutable_allow_unexpected()}) {
        *allow->Add() = "*";
      }
      return absl::OkStatus();
    }
    if (parent < 0) return absl::OkStatus();
    const std::string& name = recipe_.def.stage(parent).name();
    return Invalid("stage \"", stage_.name(), "\" starts from \"", name,
                   "\": train that first, and name its product by --from, as "
                   "in --from runs/",
                   recipe_.def.name(), "/", name);
  }

  static std::string Here(const std::string& path) {
    std::unique_ptr<char, void (*)(void*)> here(realpath(".", nullptr), free);
    return here == nullptr ? path : JoinPath(here.get(), path);
  }

  absl::StatusOr<Trial> MakeTrial(const std::string& name, double rate,
                                  double share) {
    Trial trial;
    trial.folder = JoinPath(options_.folder, name);
    TAMER_ASSIGN_OR_RETURN(trial.def, data_->Shortened(share));
    StageDef& stage = *trial.def.mutable_stage(0);
    if (stage_.has_load()) *stage.mutable_load() = stage_.load();
    TAMER_RETURN_IF_ERROR(
        ApplyOverride(absl::StrCat(field_, "=", RateText(rate)), &stage));
    return trial;
  }

  // One run through all rates: each of its epochs is at a rate of its own.
  absl::Status RangeTest() {
    const double share = kRangeShare * options_.budget / kFullBudget;
    TAMER_ASSIGN_OR_RETURN(Trial trial,
                           MakeTrial("range", kRangeLow, share / kRangeSteps));
    StageDef& stage = *trial.def.mutable_stage(0);
    if (stage.has_pretrain()) {
      // The first layer stands for all.
      while (stage.pretrain().layer_size() > 1) {
        stage.mutable_pretrain()->mutable_layer()->RemoveLast();
      }
      stage.mutable_pretrain()->set_epochs(kRangeSteps);
      stage.mutable_pretrain()->mutable_layer(0)->clear_epochs();
    } else {
      stage.mutable_finetune()->set_epochs(kRangeSteps);
    }
    ScheduleDef& schedule = *stage.mutable_solver()->mutable_schedule();
    schedule.Clear();
    schedule.mutable_exponential()->set_factor(
        std::pow(kRangeHigh / kRangeLow, 1.0 / (kRangeSteps - 1)));
    stage.mutable_solver()->clear_momentum_ramp();
    TAMER_ASSIGN_OR_RETURN(const auto results, RunTrials({trial}, trials_));
    // A run that ends in NaN has told what it is for, if it told anything.
    for (const MetricValues& epoch : EpochsOf(trial, results[0])) {
      RangePoint point{0, std::numeric_limits<double>::quiet_NaN()};
      for (const auto& value : epoch) {
        if (value.first == "learning_rate") point.rate = value.second;
        if (value.first == "loss" || value.first == "reconstruction_error") {
          point.loss = value.second;
        }
      }
      result_.range.push_back(point);
    }
    return absl::OkStatus();
  }

  static std::vector<MetricValues> EpochsOf(const Trial& trial,
                                            const TrialResult& result) {
    return result.epochs.empty() ? ReadEpochs(trial) : result.epochs;
  }

  absl::Status RunRates(const std::vector<double>& rates, int round) {
    const double share = kShares[round] * options_.budget / kFullBudget;
    std::vector<Trial> trials;
    for (double rate : rates) {
      TAMER_ASSIGN_OR_RETURN(
          Trial trial,
          MakeTrial(absl::StrCat("round", round + 1, "-", RateText(rate)), rate,
                    share));
      trials.push_back(std::move(trial));
    }
    report_(absl::StrFormat("round %d: %d rates, each %.3g %% of the stage",
                            round + 1, static_cast<int>(rates.size()),
                            100 * share));
    TAMER_ASSIGN_OR_RETURN(const auto results, RunTrials(trials, trials_));
    for (size_t i = 0; i < rates.size(); ++i) {
      if (result_.metric.empty() && results[i].error.empty()) {
        result_.metric = MainMetric(results[i]);
        result_.higher_is_better = HigherIsBetter(result_.metric);
      }
      result_.points.push_back({rates[i], share,
                                results[i].error.empty()
                                    ? results[i].Metric(result_.metric)
                                    : std::numeric_limits<double>::quiet_NaN(),
                                results[i].error});
    }
    begins_.push_back(result_.points.size() - rates.size());
    return absl::OkStatus();
  }

  // The best rate of a round; NaN if all failed.
  double Best(int round) const {
    double best = std::numeric_limits<double>::quiet_NaN();
    double value = best;
    const size_t end = round + 1 < static_cast<int>(begins_.size())
                           ? begins_[round + 1]
                           : result_.points.size();
    for (size_t i = begins_[round]; i < end; ++i) {
      const ProbePoint& point = result_.points[i];
      if (!Better(point.value, value, result_.higher_is_better)) continue;
      value = point.value;
      best = point.rate;
    }
    return best;
  }

  static std::vector<double> Around(double best, int round) {
    const double step = round < 2 ? kHalf : std::sqrt(kHalf);
    std::vector<double> rates;
    const int reach = round == 0 ? 2 : 1;
    for (int i = -reach; i <= reach; ++i) {
      rates.push_back(Rounded(best * std::pow(step, i)));
    }
    return rates;
  }

  // Where the range test's loss is least, and where it is lost.
  std::string RangeText() const {
    const RangePoint* least = nullptr;
    for (const RangePoint& point : result_.range) {
      if (least == nullptr || point.loss < least->loss) least = &point;
    }
    if (least == nullptr) return "";
    for (const RangePoint& point : result_.range) {
      if (point.rate > least->rate &&
          !(point.loss < (least->loss + result_.range[0].loss) / 2)) {
        return absl::StrCat("; a growing rate loses its way at about ",
                            RateText(point.rate));
      }
    }
    return "";
  }

  std::string Why() const {
    double value = 0;
    for (const ProbePoint& point : result_.points) {
      if (point.rate == result_.chosen) value = point.value;
    }
    return absl::StrCat(
        "best ", result_.metric, " (", absl::StrFormat("%.4g", value),
        ") of the longest runs, each ",
        absl::StrFormat("%.3g", 50 * kShares[3] * options_.budget),
        " % of the stage", RangeText());
  }

  const Recipe& recipe_;
  const OpRegistry& registry_;
  const ProbeOptions& options_;
  const ProbeReport& report_;
  StageDef stage_;
  std::string field_;
  std::unique_ptr<TrialData> data_;
  TrialOptions trials_;
  std::vector<size_t> begins_;
  ProbeResult result_;
};

}  // namespace

std::string RateText(double rate) { return absl::StrFormat("%.3g", rate); }

absl::StatusOr<ProbeResult> Probe(const Recipe& recipe,
                                  const OpRegistry& registry,
                                  const ProbeOptions& options,
                                  const ProbeReport& report) {
  for (double rate : options.rates) {
    if (!(rate > 0 && rate < 1e6)) {
      return Invalid("a learning rate is ", rate, "; it must be above 0");
    }
  }
  if (options.rates.empty()) return Invalid("no learning rate is named");
  if (!(options.budget > 0)) return Invalid("the budget must be above 0");
  return Prober(recipe, registry, options, report).Run();
}

}  // namespace tamer
