#include "core/train/executor.h"

#include <algorithm>

#include "core/passes/accumulate.h"
#include "core/passes/at_length.h"
#include "core/runtime/trial.h"

namespace tamer {
namespace {

// The name of the input that takes the features: the one that no pass added.
absl::StatusOr<std::string> FeatureInput(const Graph& graph) {
  std::string found;
  for (ValueId id : graph.inputs()) {
    const std::string& name = graph.value(id).name;
    if (name == "labels" || name == "targets" || name == "lengths" ||
        name == "learning_rate" || name == "momentum" ||
        name == kAccumulateShare || name == kAccumulateKeep) {
      continue;
    }
    if (!found.empty()) {
      return Invalid("the network has the inputs \"", found, "\" and \"", name,
                     "\"; a recipe feeds one");
    }
    found = name;
  }
  if (found.empty()) return Invalid("the network has no input");
  return found;
}

// Whether the graph has an input of this name; a node may bear it instead.
bool HasInput(const Graph& graph, const std::string& name) {
  const ValueId id = graph.FindValue(name);
  return id >= 0 && graph.value(id).kind == Value::kInput;
}

absl::Status CheckLabels(const Graph& graph, const Dataset& data) {
  const bool labels = HasInput(graph, "labels");
  const bool targets = HasInput(graph, "targets");
  if (!labels && !targets) return absl::OkStatus();
  if (data.labels.empty()) {
    return Invalid("the loss needs labels, and ", data.source, " has none");
  }
  const int64_t wanted =
      labels ? -graph.value(graph.FindValue("labels")).type.shape.elements()
             : 1;
  if (wanted == data.labels_per_sample) return absl::OkStatus();
  return Invalid("the loss needs ", wanted, " label(s) a sample, and ",
                 data.source, " has ", data.labels_per_sample);
}

absl::Status CheckLengths(const Graph& graph, const Dataset& data) {
  if (!HasInput(graph, "lengths")) return absl::OkStatus();
  const TensorType& type = graph.value(graph.FindValue("lengths")).type;
  const TensorType wanted{DType::kInt32, Shape({Shape::kBatch})};
  if (type != wanted) {
    return Invalid("the network's input \"lengths\" is ", type.ToString(),
                   "; lengths of sequences are ", wanted.ToString());
  }
  if (!data.lengths.empty()) return absl::OkStatus();
  return Invalid("the network has an input \"lengths\", and the samples of ",
                 data.source, " have none");
}

}  // namespace

absl::Status CheckFits(const Graph& graph, const Dataset& data) {
  TAMER_ASSIGN_OR_RETURN(const std::string features, FeatureInput(graph));
  const TensorType& type = graph.value(graph.FindValue(features)).type;
  const bool tokens = data.dtype == DType::kInt32;
  if (type.dtype != (tokens ? DType::kInt32 : DType::kFloat) ||
      -type.shape.elements() != data.sample_elements()) {
    return Invalid("the network's input \"", features, "\" is ",
                   type.ToString(), ", but the samples of ", data.source,
                   " are ", data.sample_shape.ToString(), " (",
                   data.sample_elements(),
                   tokens ? " tokens, INT32)" : " numbers)");
  }
  TAMER_RETURN_IF_ERROR(CheckLabels(graph, data));
  return CheckLengths(graph, data);
}

namespace {

std::vector<BatchShape> ShapesOf(const ExecutorOptions& options,
                                 const Dataset& data) {
  if (!options.shapes.empty()) return options.shapes;
  const int64_t full = std::min(options.batch, data.size);
  std::vector<BatchShape> shapes = {{full, 0}};
  if (data.size % full > 0) shapes.push_back({data.size % full, 0});
  return shapes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> Executor::Make(
    const Graph& graph, const Dataset& data, const ExecutorOptions& options,
    Variables* variables, Scheduler* scheduler) {
  auto executor = std::unique_ptr<Executor>(new Executor);
  executor->scheduler_ = scheduler;
  TAMER_RETURN_IF_ERROR(CheckFits(graph, data));
  for (ValueId id : graph.outputs()) {
    executor->output_names_.push_back(graph.value(id).name);
  }
  const std::vector<BatchShape> shapes = ShapesOf(options, data);
  StepOptions step_options = options.step;
  for (const BatchShape& shape : shapes) {
    // Rows are shared as if all minibatches were of one length.
    if (shape.length > 0) step_options.workers = 1;
  }
  TAMER_ASSIGN_OR_RETURN(const StepGraphs step,
                         PrepareStep(graph, step_options, shapes[0].size));
  PlanOptions plan;
  plan.seed = options.seed;
  plan.parallel_branches = options.parallel_branches;
  plan.batch = shapes[0].size;
  plan.threads = scheduler->intra_op();
  if (scheduler->may_choose()) {
    TAMER_ASSIGN_OR_RETURN(
        plan.threads, ChooseThreads(step.graph, plan, scheduler->intra_op()));
  }
  executor->arena_ = plan.arena =
      options.arena != nullptr ? options.arena : std::make_shared<Arena>();
  for (const BatchShape& shape : shapes) {
    TAMER_RETURN_IF_ERROR(
        executor->AddPlan(step.graph, shape, plan, variables));
  }
  if (step.accumulates) {
    executor->accumulate_ = options.step.accumulate;
    plan.batch *= step_options.workers;
    plan.part = options.part;
    TAMER_RETURN_IF_ERROR(executor->AddUpdate(step, plan, variables));
  }
  executor->BindInputs();
  executor->current_ = &executor->plans_[0];
  return executor;
}

absl::Status Executor::AddPlan(const Graph& graph, const BatchShape& shape,
                               PlanOptions options, Variables* variables) {
  Sized sized;
  sized.shape = shape;
  options.batch = shape.size;
  TAMER_ASSIGN_OR_RETURN(const std::string features, FeatureInput(graph));
  if (shape.length == 0) {
    TAMER_ASSIGN_OR_RETURN(sized.plan,
                           Plan::Compile(graph, options, variables));
  } else {
    TAMER_ASSIGN_OR_RETURN(const Graph other,
                           AtLength(graph, features, shape.length));
    TAMER_ASSIGN_OR_RETURN(sized.plan,
                           Plan::Compile(other, options, variables));
  }
  Plan& plan = *sized.plan;
  sized.features = plan.FindInput(features);
  sized.labels = plan.FindInput("labels");
  sized.targets = plan.FindInput("targets");
  sized.lengths = plan.FindInput("lengths");
  if (sized.targets >= 0) {
    const TensorType& targets = plan.input_type(sized.targets);
    sized.target_width = targets.shape.elements() / options.batch;
  }
  plans_.push_back(std::move(sized));
  return absl::OkStatus();
}

absl::Status Executor::AddUpdate(const StepGraphs& step, PlanOptions options,
                                 Variables* variables) {
  // What the other plans left must outlive it.
  options.arena = nullptr;
  TAMER_ASSIGN_OR_RETURN(update_,
                         Plan::Compile(step.update, options, variables));
  for (const SharedRows& rows : step.shared) {
    const auto& outputs = step.graph.outputs();
    const auto at = std::find(outputs.begin(), outputs.end(),
                              step.graph.FindValue(rows.rows));
    shared_outputs_.push_back(static_cast<int>(at - outputs.begin()));
    const int input = update_->FindInput(rows.all);
    const TensorType& type = update_->input_type(input);
    shared_buffers_.emplace_back(type.shape.elements() * SizeOf(type.dtype));
    Shared shared;
    shared.all = {type.dtype, type.shape, shared_buffers_.back().data()};
    shared.weight = rows.weight;
    update_->BindInput(input, shared.all.data);
    shared_.push_back(shared);
  }
  const Tensor* samples = variables->Find(kAccumulatedSamples);
  if (samples != nullptr) {
    samples_ = *samples;
    return absl::OkStatus();
  }
  TAMER_ASSIGN_OR_RETURN(samples_, variables->Add(kAccumulatedSamples,
                                                  {DType::kInt32, Shape({1})}));
  return absl::OkStatus();
}

void Executor::BindInputs() {
  int64_t targets = 0;
  for (const Sized& sized : plans_) {
    if (sized.targets < 0) continue;
    targets = std::max(targets, sized.shape.size * sized.target_width);
  }
  if (targets > 0) targets_ = Buffer(targets * SizeOf(DType::kFloat));
  const auto bind = [](Plan& plan, const char* name, const void* data) {
    const int input = plan.FindInput(name);
    if (input >= 0) plan.BindInput(input, data);
  };
  const auto bind_scalars = [&](Plan& plan) {
    bind(plan, "learning_rate", &learning_rate_);
    bind(plan, "momentum", &momentum_);
    bind(plan, kAccumulateShare, &share_);
    bind(plan, kAccumulateKeep, &keep_);
  };
  for (Sized& sized : plans_) {
    bind(*sized.plan, "targets", targets_.data());
    bind_scalars(*sized.plan);
  }
  if (update_ != nullptr) bind_scalars(*update_);
}

namespace {

// Adds `share` of what a label stands for to a sample's target: the label
// itself, or of several numbers 1 at its place.
absl::Status AddLabel(int32_t label, float share, int64_t width, float* row) {
  if (width == 1) {
    row[0] += share * static_cast<float>(label);
    return absl::OkStatus();
  }
  if (label >= width) {
    return Invalid("label ", label, " is out of range for ", width, " outputs");
  }
  row[label] += share;
  return absl::OkStatus();
}

}  // namespace

int Executor::FindOutput(const std::string& name) const {
  const auto it = std::find(output_names_.begin(), output_names_.end(), name);
  return it == output_names_.end()
             ? -1
             : static_cast<int>(it - output_names_.begin());
}

absl::Status Executor::FillTargets(const Batch& batch, int64_t width) {
  float* targets = static_cast<float*>(targets_.data());
  for (int64_t i = 0; i < batch.size; ++i) {
    float* row = targets + i * width;
    std::fill(row, row + width, 0.0f);
    const bool mixed = batch.mixed_labels != nullptr;
    const float share = mixed ? batch.mixed_shares[i] : 0.0f;
    TAMER_RETURN_IF_ERROR(AddLabel(batch.labels[i], 1 - share, width, row));
    if (mixed) {
      TAMER_RETURN_IF_ERROR(AddLabel(batch.mixed_labels[i], share, width, row));
    }
  }
  return absl::OkStatus();
}

absl::Status Executor::Choose(const Batch& batch) {
  for (Sized& sized : plans_) {
    if (sized.shape.size != batch.size || sized.shape.length != batch.length) {
      continue;
    }
    current_ = &sized;
    return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat("no plan was made for ", batch.size,
                                          " samples of length ", batch.length));
}

absl::Status Executor::Run(const Batch& batch, uint64_t step) {
  TAMER_RETURN_IF_ERROR(Choose(batch));
  Plan& plan = *current_->plan;
  if (current_->features >= 0) {
    const void* features = batch.features;
    if (batch.tokens != nullptr) features = batch.tokens;
    plan.BindInput(current_->features, features);
  }
  if (current_->labels >= 0) plan.BindInput(current_->labels, batch.labels);
  if (current_->lengths >= 0) plan.BindInput(current_->lengths, batch.lengths);
  if (current_->targets >= 0) {
    TAMER_RETURN_IF_ERROR(FillTargets(batch, current_->target_width));
  }
  if (update_ == nullptr) return scheduler_->Run(plan, step);
  int32_t& samples = samples_.ints()[0];
  const auto all = static_cast<float>(samples + batch.size);
  share_ = static_cast<float>(batch.size) / all;
  keep_ = static_cast<float>(samples) / all;
  TAMER_RETURN_IF_ERROR(scheduler_->Run(plan, step));
  for (size_t i = 0; i < shared_.size(); ++i) {
    shared_[i].own = &plan.output(shared_outputs_[i]);
  }
  samples += static_cast<int32_t>(batch.size);
  return absl::OkStatus();
}

bool Executor::EndsUpdate(const Batch& batch) const {
  return batch.last_in_epoch || gathered() >= accumulate_ * this->batch() ||
         update_ == nullptr;
}

absl::Status Executor::Update(uint64_t step) {
  if (update_ == nullptr) return absl::OkStatus();
  samples_.ints()[0] = 0;
  return scheduler_->Run(*update_, step);
}

}  // namespace tamer
