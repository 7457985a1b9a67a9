#include "core/train/phase.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/random.h"
#include "core/parallel/rates.h"
#include "core/train/best.h"
#include "core/train/epoch_sums.h"
#include "core/train/executor.h"
#include "core/train/monitor.h"
#include "core/train/schedule.h"
#include "core/train/teamwork.h"

namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

class PhaseRun {
 public:
  PhaseRun(const Phase& phase, Variables* variables, Scheduler* scheduler,
           MetricsLog* log, Observer* observer, ProgressDef* progress)
      : phase_(phase),
        variables_(variables),
        scheduler_(scheduler),
        log_(log),
        observer_(observer),
        progress_(*progress),
        team_(phase.parallel, phase.group, variables) {}

  absl::StatusOr<bool> Run();

 private:
  absl::Status Prepare();
  absl::Status Compile();
  std::vector<BatchShape> Shapes() const;
  absl::Status Step(const Batch& batch);
  absl::Status Update();
  absl::Status EndEpoch();
  absl::Status Judge();
  absl::Status Watch();
  bool SaveDue() const;
  absl::StatusOr<bool> StopEarly(const MetricValues& metrics);
  absl::Status Save();
  absl::Status Train(const Batch& batch);
  absl::Status Tell(const PhaseReport& report, const EpochMetrics& more);
  PhaseReport Report(int64_t epoch) const;
  std::string Where() const;
  // With fractions.
  double EpochsDone() const {
    return static_cast<double>(progress_.epoch()) +
           static_cast<double>(progress_.step_in_epoch()) /
               static_cast<double>(steps_per_epoch_);
  }
  // The same when the first minibatch of this one's update began.
  double UpdateTime() const {
    const int64_t gathered = executor_->gathered() / executor_->batch();
    return EpochsDone() - static_cast<double>(gathered * team_.workers()) /
                              static_cast<double>(steps_per_epoch_);
  }
  // How many updates the phase has behind it, if all were by so many workers.
  int64_t Updates() const {
    const int64_t round = int64_t{phase_.step.accumulate} * team_.workers();
    const auto of = [&](int64_t minibatches) {
      return (minibatches + round - 1) / round;
    };
    return progress_.epoch() * of(steps_per_epoch_) +
           of(progress_.step_in_epoch());
  }

  const Phase& phase_;
  Variables* variables_;
  Scheduler* scheduler_;
  MetricsLog* log_;
  Observer* observer_;
  ProgressDef& progress_;
  Teamwork team_;

  uint64_t seed_ = 0;
  float rate_factor_ = 1;
  const Graph* compiled_ = nullptr;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Loader> loader_;
  EpochSums sums_;
  int64_t steps_per_epoch_ = 0;
  double learning_rate_ = 0;
  bool updated_ = false;  // by the last step
  bool stopped_early_ = false;
  // For speeds: since when in this epoch, and how many samples were done since.
  Clock::time_point began_, last_report_, last_save_;
  int64_t samples_here_ = 0;
  Teamwork::Balance balance_;
};

std::string PhaseRun::Where() const {
  return phase_.layer.empty()
             ? absl::StrCat("stage \"", phase_.stage, "\"")
             : absl::StrCat("stage \"", phase_.stage, "\", layer \"",
                            phase_.layer, "\"");
}

absl::Status PhaseRun::Prepare() {
  const std::string stream = absl::StrCat(phase_.stage, "/", phase_.layer);
  const uint64_t seed = StreamKey(phase_.seed, stream);
  // Workers see the same order of the data, but noise of their own.
  seed_ = team_.leads()
              ? seed
              : StreamKey(seed, absl::StrCat("worker ", team_.rank()));
  const RateCorrection rate = CorrectRate(phase_.parallel, team_.workers());
  rate_factor_ = rate.factor;
  if (team_.workers() > 1) {
    observer_->Message(absl::StrCat(Where(), ": ", team_.workers(),
                                    " workers; learning rate times ",
                                    rate.factor, " (", rate.why, ")"));
  }
  TAMER_RETURN_IF_ERROR(Compile());
  sums_.Read(team_, &progress_);
  LoaderOptions options;
  options.batch = phase_.batch;
  options.seed = seed;
  options.first_epoch = progress_.epoch();
  options.first_batch = progress_.step_in_epoch();
  options.buckets = phase_.buckets;
  options.augment = phase_.augment;
  options.mix = phase_.mix;
  options.prefetch = phase_.augment != nullptr && phase_.augment->dear();
  options.workers = team_.workers();
  options.worker = team_.rank();
  loader_ = std::make_unique<Loader>(phase_.data, phase_.scaling, options);
  steps_per_epoch_ = loader_->batches_per_epoch();
  stopped_early_ = phase_.early_stopping != nullptr && progress_.has_best() &&
                   progress_.epoch() - progress_.best_epoch() >=
                       phase_.early_stopping->patience();
  began_ = last_report_ = last_save_ = Clock::now();
  return absl::OkStatus();
}

// With buckets, the kinds of minibatches that the loader makes; else none, and
// the executor knows.
std::vector<BatchShape> PhaseRun::Shapes() const {
  const std::vector<int64_t> lengths =
      BucketLengths(*phase_.data, phase_.buckets);
  if (lengths.size() < 2) return {};
  const int64_t size = phase_.data->size;
  const int64_t full = std::min(phase_.batch, size);
  std::vector<BatchShape> shapes = {{full, 0}};
  for (int64_t length : lengths) {
    if (length > 0 && full == phase_.batch) shapes.push_back({full, length});
  }
  if (size % full > 0) shapes.push_back({size % full, 0});
  return shapes;
}

// The executor of the graph that this epoch trains.
absl::Status PhaseRun::Compile() {
  const Graph* graph = phase_.graphs.front().second;
  for (const auto& entry : phase_.graphs) {
    if (progress_.epoch() >= entry.first) graph = entry.second;
  }
  if (graph == compiled_) return absl::OkStatus();
  compiled_ = graph;
  ExecutorOptions options;
  options.batch = phase_.batch;
  options.seed = seed_;
  options.parallel_branches = phase_.parallel_branches;
  options.step = phase_.step;
  options.step.workers = team_.workers();
  options.shapes = Shapes();
  TAMER_RETURN_IF_ERROR(team_.ChooseMemory(*graph, seed_));
  options.part = team_.part();
  options.arena = phase_.arena;
  TAMER_ASSIGN_OR_RETURN(
      executor_,
      Executor::Make(*graph, *phase_.data, options, variables_, scheduler_));
  sums_.Follow(*graph, *executor_);
  return team_.Train(*graph, *executor_);
}

PhaseReport PhaseRun::Report(int64_t epoch) const {
  PhaseReport report;
  report.stage = phase_.stage;
  report.layer = phase_.layer;
  report.epoch = epoch;
  report.epochs = phase_.epochs;
  report.step_in_epoch = progress_.step_in_epoch();
  report.steps_per_epoch = steps_per_epoch_;
  report.learning_rate = learning_rate_;
  report.metrics = sums_.Means(progress_.samples());
  const double seconds = Seconds(Clock::now() - began_);
  if (seconds > 0 && samples_here_ > 0) {
    report.samples_per_second = samples_here_ / seconds;
    report.seconds_left = (static_cast<double>(phase_.epochs) - EpochsDone()) *
                          static_cast<double>(phase_.data->size) /
                          report.samples_per_second;
  }
  return report;
}

absl::Status PhaseRun::Save() {
  last_save_ = Clock::now();
  TAMER_RETURN_IF_ERROR(sums_.Write(&team_, &progress_));
  TAMER_RETURN_IF_ERROR(team_.GatherOwn());
  if (!team_.leads()) return absl::OkStatus();
  progress_.set_metrics_bytes(log_->bytes());
  const absl::Status status = phase_.save(progress_);
  team_.ForgetOwn();
  return status;
}

absl::Status PhaseRun::Step(const Batch& batch) {
  const double t = UpdateTime();
  learning_rate_ =
      rate_factor_ *
      LearningRateAt(phase_.solver, t, static_cast<double>(phase_.epochs));
  executor_->set_learning_rate(static_cast<float>(learning_rate_));
  executor_->set_momentum(static_cast<float>(MomentumAt(phase_.solver, t)));
  if (batch.size > 0) TAMER_RETURN_IF_ERROR(Train(batch));
  updated_ = executor_->EndsUpdate(batch);
  if (updated_) TAMER_RETURN_IF_ERROR(Update());
  progress_.set_samples(progress_.samples() + batch.size);
  progress_.set_step(progress_.step() + 1);
  progress_.set_step_in_epoch(
      std::min(steps_per_epoch_, progress_.step_in_epoch() + team_.workers()));
  return absl::OkStatus();
}

// By what was gathered: this worker's, which may be nothing at an epoch's end,
// or all workers'.
absl::Status PhaseRun::Update() {
  if (team_.averages_gradients()) {
    TAMER_RETURN_IF_ERROR(
        team_.AverageGradients(*executor_, observer_->StopAsked(), SaveDue()));
  } else if (executor_->gathered() == 0) {
    return absl::OkStatus();
  }
  const absl::Status status = executor_->Update(progress_.step());
  if (!status.ok()) return Annotate(status, Where());
  return team_.EndUpdate();
}

// On a minibatch of this worker.
absl::Status PhaseRun::Train(const Batch& batch) {
  absl::Status status = executor_->Run(batch, progress_.step());
  if (!status.ok()) return Annotate(status, Where());
  const int wrong = sums_.Add(*executor_, batch.size);
  if (wrong < 0) return absl::OkStatus();
  const std::string& name = sums_.name(wrong);
  return absl::OutOfRangeError(absl::StrCat(
      Where(), ": ", name, " became ",
      executor_->Output(executor_->FindOutput(name)).floats()[0], " in epoch ",
      batch.epoch + 1, ", step ", batch.index + 1, ", at learning rate ",
      learning_rate_, "; lower the learning rate, or check the data for NaN",
      WhereNotFinite(*variables_)));
}

absl::StatusOr<bool> PhaseRun::StopEarly(const MetricValues& metrics) {
  const EarlyStoppingDef& rule = *phase_.early_stopping;
  const std::string name = "validation_" + rule.metric();
  double value = std::numeric_limits<double>::quiet_NaN();
  for (const auto& metric : metrics) {
    if (metric.first == name) value = metric.second;
  }
  if (std::isnan(value)) {
    return Invalid(Where(), ": early_stopping watches \"", rule.metric(),
                   "\", which this loss doesn't have");
  }
  // Kept so that less is always better.
  if (rule.metric() == "accuracy") value = -value;
  if (!progress_.has_best() || value < progress_.best() - rule.min_delta()) {
    progress_.set_best(value);
    progress_.set_best_epoch(progress_.epoch());
    KeepBest(variables_);
  }
  return progress_.epoch() - progress_.best_epoch() >= rule.patience();
}

// The line of metrics.jsonl, and the observer's.
absl::Status PhaseRun::Tell(const PhaseReport& report,
                            const EpochMetrics& more) {
  nlohmann::ordered_json line;
  line["stage"] = phase_.stage;
  if (!phase_.layer.empty()) line["layer"] = phase_.layer;
  line["epoch"] = progress_.epoch();
  line["step"] = progress_.step();
  line["learning_rate"] = learning_rate_;
  for (const auto& metric : report.metrics) line[metric.first] = metric.second;
  for (const auto& series : more.series) line[series.first] = series.second;
  line["samples_per_second"] = std::round(report.samples_per_second);
  // Since the epoch began, or the run was resumed in it; with validation.
  line["seconds"] = std::round(1e4 * Seconds(Clock::now() - began_)) / 1e4;
  if (team_.workers() > 1) {
    line["workers"] = team_.workers();
    line["waiting_share"] = balance_.waiting;
    line["slowest_worker"] = balance_.slowest;
    line["averagings"] = balance_.averagings;
    line["bytes_sent"] = balance_.bytes;
  }
  TAMER_RETURN_IF_ERROR(log_->Append(line.dump()));
  observer_->EpochEnds(report);
  return absl::OkStatus();
}

absl::Status PhaseRun::EndEpoch() {
  TAMER_RETURN_IF_ERROR(sums_.Merge(&team_, &progress_));
  TAMER_ASSIGN_OR_RETURN(balance_, team_.TakeBalance());
  progress_.set_epoch(progress_.epoch() + 1);
  if (team_.leads()) {
    team_.ShowCenter();
    const absl::Status status = Judge();
    team_.HideCenter();
    TAMER_RETURN_IF_ERROR(status);
  }
  TAMER_RETURN_IF_ERROR(team_.Share(&stopped_early_));
  progress_.set_step_in_epoch(0);
  progress_.set_samples(0);
  sums_.Clear();
  began_ = Clock::now();
  samples_here_ = 0;
  return Compile();
}

// Measures the epoch that is over, puts it on record, and sees whether to stop.
absl::Status PhaseRun::Judge() {
  PhaseReport report = Report(progress_.epoch());
  report.workers = team_.workers();
  report.waiting_share = balance_.waiting;
  report.slowest_worker = balance_.slowest;
  EpochMetrics more;
  if (phase_.validate) {
    TAMER_ASSIGN_OR_RETURN(more, phase_.validate());
    report.metrics.insert(report.metrics.end(), more.values.begin(),
                          more.values.end());
  }
  TAMER_RETURN_IF_ERROR(Tell(report, more));
  if (phase_.watch) TAMER_RETURN_IF_ERROR(Watch());
  if (phase_.record) TAMER_RETURN_IF_ERROR(phase_.record(progress_.epoch()));
  progress_.clear_last();
  for (const auto& metric : report.metrics) {
    MetricDef* last = progress_.add_last();
    last->set_name(metric.first);
    last->set_value(metric.second);
  }
  if (phase_.early_stopping != nullptr) {
    TAMER_ASSIGN_OR_RETURN(stopped_early_, StopEarly(report.metrics));
  }
  return absl::OkStatus();
}

// Tells what the monitor sees, on record too.
absl::Status PhaseRun::Watch() {
  TAMER_ASSIGN_OR_RETURN(const auto found, phase_.watch(progress_.epoch()));
  for (const std::string& text : found) {
    nlohmann::ordered_json line;
    line["stage"] = phase_.stage;
    if (!phase_.layer.empty()) line["layer"] = phase_.layer;
    line["step"] = progress_.step();
    line["warning"] = text;
    TAMER_RETURN_IF_ERROR(log_->Append(line.dump()));
    const std::string told =
        absl::StrCat(Where(), ": after step ", progress_.step(), ": ", text);
    if (phase_.stop_on_warning) return absl::OutOfRangeError(told);
    observer_->Message("warning: " + told);
  }
  return absl::OkStatus();
}

bool PhaseRun::SaveDue() const {
  return Seconds(Clock::now() - last_save_) > phase_.checkpoint_every_seconds ||
         (phase_.checkpoint_every_steps > 0 &&
          progress_.step() % phase_.checkpoint_every_steps == 0);
}

absl::StatusOr<bool> PhaseRun::Run() {
  TAMER_RETURN_IF_ERROR(Prepare());
  while (progress_.epoch() < phase_.epochs && !stopped_early_) {
    const Batch& batch = loader_->Next();
    const bool epoch_ends = batch.last_in_epoch;
    TAMER_RETURN_IF_ERROR(Step(batch));
    // Gradients brought their votes along.
    const bool votes = !team_.averages_gradients();
    TAMER_ASSIGN_OR_RETURN(
        const Teamwork::Agreement agreed,
        team_.AfterStep(updated_ ? Updates() : 0, progress_.epoch(), batch.size,
                        epoch_ends, votes && observer_->StopAsked(),
                        votes && SaveDue()));
    samples_here_ += static_cast<int64_t>(agreed.samples);
    if (epoch_ends) TAMER_RETURN_IF_ERROR(EndEpoch());
    if (team_.memory_changes()) {
      compiled_ = nullptr;
      TAMER_RETURN_IF_ERROR(Compile());
    }
    if (agreed.stop) {
      TAMER_RETURN_IF_ERROR(Save());
      return false;
    }
    const auto now = Clock::now();
    if (Seconds(now - last_report_) > 0.1 && progress_.samples() > 0) {
      last_report_ = now;
      observer_->Progress(Report(progress_.epoch() + 1));
    }
    if (agreed.save) TAMER_RETURN_IF_ERROR(Save());
  }
  TAMER_RETURN_IF_ERROR(team_.SeparateMemory());
  team_.ShowCenter();
  if (phase_.early_stopping != nullptr) TakeBest(variables_);
  executor_ = nullptr;  // its plans use what is removed now
  ForgetAccumulated(variables_);
  return true;
}

}  // namespace

absl::StatusOr<bool> RunPhase(const Phase& phase, Variables* variables,
                              Scheduler* scheduler, MetricsLog* log,
                              Observer* observer, ProgressDef* progress) {
  return PhaseRun(phase, variables, scheduler, log, observer, progress).Run();
}

}  // namespace tamer
