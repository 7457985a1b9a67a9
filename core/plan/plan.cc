#include "core/plan/plan.h"

#include <omp.h>

#include <algorithm>
#include <queue>

#include "core/base/parallel.h"
#include "core/base/random.h"
#include "core/plan/memory_planner.h"

namespace tamer {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 40;

// Which steps come before which through dependencies, a bit for each pair.
class Reachability {
 public:
  Reachability(const std::vector<PlanStep>& steps)
      : words_((steps.size() + 63) / 64), before_(steps.size() * words_, 0) {
    for (size_t i = 0; i < steps.size(); ++i) {
      for (int next : steps[i].successors) {
        uint64_t* row = &before_[next * words_];
        for (size_t w = 0; w < words_; ++w) row[w] |= before_[i * words_ + w];
        row[i / 64] |= uint64_t{1} << i % 64;
      }
    }
  }
  bool Precedes(int a, int b) const {
    return before_[b * words_ + a / 64] >> (a % 64) & 1;
  }

 private:
  size_t words_;
  std::vector<uint64_t> before_;
};

}  // namespace

// The making of a Plan, in the order of its functions.
class PlanCompiler {
 public:
  PlanCompiler(const Graph& graph, const PlanOptions& options,
               Variables* variables)
      : graph_(graph),
        options_(options),
        variables_(variables),
        plan_(std::make_unique<Plan>()) {}

  absl::StatusOr<std::unique_ptr<Plan>> Compile();

 private:
  void FindLive();
  absl::Status Connect();
  absl::Status OrderNodes();
  void LinkSteps();
  absl::Status MakeKernels();
  void FindInPlace();
  absl::Status RequestMemory();
  void PlaceValues();
  void PointInputs();
  void NameOutputs();
  bool IsInPlaceFor(const Node& node, int step, int output, ValueId* source);
  TensorType Bound(ValueId id) const;
  // The value whose memory `id` stands in.
  ValueId Root(ValueId id) const;

  const Graph& graph_;
  const PlanOptions& options_;
  Variables* variables_;
  std::unique_ptr<Plan> plan_;

  std::vector<bool> live_;                 // nodes
  std::vector<std::vector<NodeId>> next_;  // nodes that wait for a node
  std::vector<int> step_of_;               // of a node, or -1
  std::vector<std::vector<int>> readers_;  // of a value, as steps
  std::vector<bool> is_output_;            // values
  std::vector<ValueId> alias_;             // in-place: the value overwritten
  std::vector<void*> address_;             // of a value
  std::vector<int64_t> scratch_;           // bytes a step
  std::vector<MemoryRequest> requests_;
  std::vector<int> request_of_;       // of a value, or -1
  std::vector<int> scratch_request_;  // of a step
};

TensorType PlanCompiler::Bound(ValueId id) const {
  const TensorType& type = graph_.value(id).type;
  return {type.dtype, type.shape.Bind(options_.batch)};
}

ValueId PlanCompiler::Root(ValueId id) const {
  while (alias_[id] >= 0) id = alias_[id];
  return id;
}

void PlanCompiler::FindLive() {
  live_.assign(graph_.nodes().size(), false);
  is_output_.assign(graph_.values().size(), false);
  for (ValueId id : graph_.outputs()) {
    is_output_[id] = true;
    const Value& value = graph_.value(id);
    if (value.kind == Value::kOutput) live_[value.node] = true;
  }
  // Backwards: a node comes after what it reads.
  for (int i = static_cast<int>(graph_.nodes().size()) - 1; i >= 0; --i) {
    const Node& node = graph_.node(i);
    if (!node.Mutates().empty()) live_[i] = true;
    if (!live_[i]) continue;
    for (ValueId id : node.inputs) {
      const Value& value = graph_.value(id);
      if (value.kind == Value::kOutput) live_[value.node] = true;
    }
  }
}

// Dependencies: a node after what computes its inputs, and whoever changes a
// variable after all its other readers.
absl::Status PlanCompiler::Connect() {
  next_.assign(graph_.nodes().size(), {});
  std::vector<std::vector<NodeId>> variable_readers(graph_.values().size());
  std::vector<NodeId> changer(graph_.values().size(), -1);
  for (NodeId i = 0; i < static_cast<NodeId>(graph_.nodes().size()); ++i) {
    if (!live_[i]) continue;
    const Node& node = graph_.node(i);
    const std::vector<ValueId> all = node.AllInputs();
    for (ValueId id : all) {
      const Value& value = graph_.value(id);
      if (value.kind == Value::kOutput) next_[value.node].push_back(i);
      if (value.kind == Value::kVariable) variable_readers[id].push_back(i);
    }
    for (int index : node.Mutates()) {
      NodeId& other = changer[all[index]];
      if (other >= 0 && other != i) {
        return Invalid("nodes \"", graph_.node(other).name, "\" and \"",
                       node.name, "\" both change \"",
                       graph_.value(all[index]).name, "\"");
      }
      other = i;
    }
  }
  for (size_t id = 0; id < changer.size(); ++id) {
    if (changer[id] < 0) continue;
    for (NodeId reader : variable_readers[id]) {
      if (reader != changer[id]) next_[reader].push_back(changer[id]);
    }
  }
  return absl::OkStatus();
}

// Kahn's order, the graph's own where it is free.
absl::Status PlanCompiler::OrderNodes() {
  std::vector<int> waits(graph_.nodes().size(), 0);
  for (const auto& after : next_) {
    for (NodeId node : after) ++waits[node];
  }
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<NodeId>> ready;
  size_t wanted = 0;
  for (NodeId i = 0; i < static_cast<NodeId>(graph_.nodes().size()); ++i) {
    wanted += live_[i];
    if (live_[i] && waits[i] == 0) ready.push(i);
  }
  step_of_.assign(graph_.nodes().size(), -1);
  while (!ready.empty()) {
    const NodeId i = ready.top();
    ready.pop();
    step_of_[i] = static_cast<int>(plan_->steps_.size());
    PlanStep step;
    step.node = i;
    step.name = graph_.node(i).name;
    plan_->steps_.push_back(std::move(step));
    for (NodeId after : next_[i]) {
      if (--waits[after] == 0) ready.push(after);
    }
  }
  if (plan_->steps_.size() == wanted) return absl::OkStatus();
  return Invalid(
      "two nodes each change what the other reads; no order of them ",
      "gives both the old value");
}

// Without parallel branches, buffers are shared by nodes that don't depend on
// one another, so each step waits for the one before whatever scheduler runs
// them.
void PlanCompiler::LinkSteps() {
  const int steps = static_cast<int>(plan_->steps_.size());
  for (int i = 0; i < steps; ++i) {
    std::vector<int>& after = plan_->steps_[i].successors;
    if (options_.parallel_branches) {
      for (NodeId node : next_[plan_->steps_[i].node]) {
        after.push_back(step_of_[node]);
      }
    } else if (i + 1 < steps) {
      after.push_back(i + 1);
    }
    std::sort(after.begin(), after.end());
    after.erase(std::unique(after.begin(), after.end()), after.end());
    for (int successor : after) ++plan_->steps_[successor].predecessors;
  }
}

absl::Status PlanCompiler::MakeKernels() {
  readers_.assign(graph_.values().size(), {});
  for (size_t i = 0; i < plan_->steps_.size(); ++i) {
    PlanStep& step = plan_->steps_[i];
    const Node& node = graph_.node(step.node);
    KernelSpec spec = BoundSpec(graph_, node, options_.batch);
    spec.stream_key = StreamKey(options_.seed, StreamName(node.name));
    spec.fixed_variables = options_.fixed_variables;
    for (ValueId id : node.AllInputs()) {
      readers_[id].push_back(static_cast<int>(i));
    }
    const int64_t before = foreign_regions;
    auto kernel = node.op->Compile(spec);
    step.holds_team = foreign_regions == before;
    if (!kernel.ok()) {
      return Annotate(kernel.status(),
                      absl::StrCat(node.location.Prefix(), "node \"", node.name,
                                   "\": ", node.op->name()));
    }
    step.kernel = *std::move(kernel);
    scratch_.push_back(step.kernel->scratch_bytes());
  }
  return absl::OkStatus();
}

// Whether output `output` may be written over an input: nobody else needs that.
bool PlanCompiler::IsInPlaceFor(const Node& node, int step, int output,
                                ValueId* source) {
  const int input = node.op->InPlaceInput(*node.params, output);
  if (input < 0 || input >= static_cast<int>(node.inputs.size())) return false;
  *source = node.inputs[input];
  const Value& value = graph_.value(*source);
  return value.kind == Value::kOutput && !is_output_[*source] &&
         !is_output_[Root(*source)] &&
         readers_[*source] == std::vector<int>{step} &&
         Bound(*source).shape.elements() ==
             Bound(node.outputs[output]).shape.elements() &&
         value.type.dtype == graph_.value(node.outputs[output]).type.dtype;
}

void PlanCompiler::FindInPlace() {
  alias_.assign(graph_.values().size(), -1);
  for (size_t i = 0; i < plan_->steps_.size(); ++i) {
    const Node& node = graph_.node(plan_->steps_[i].node);
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      ValueId source = -1;
      if (IsInPlaceFor(node, static_cast<int>(i), static_cast<int>(o),
                       &source)) {
        alias_[node.outputs[o]] = source;
        break;
      }
    }
  }
}

// What each step writes and for how long it is needed: its outputs, but for
// those that stand over an input, and its scratch.
absl::Status PlanCompiler::RequestMemory() {
  const int end = static_cast<int>(plan_->steps_.size());
  request_of_.assign(graph_.values().size(), -1);
  int64_t sum = 0;
  for (int i = 0; i < end; ++i) {
    for (ValueId id : graph_.node(plan_->steps_[i].node).outputs) {
      const TensorType type = Bound(id);
      const int64_t bytes = type.shape.elements() * SizeOf(type.dtype);
      sum += Aligned(bytes);
      if (sum > kMostBytes) {
        return Invalid("the plan needs more than ", kMostBytes >> 30, " GiB");
      }
      if (alias_[id] < 0) {
        request_of_[id] = static_cast<int>(requests_.size());
        requests_.push_back({bytes, i, {i}});
      }
      std::vector<int>& last = requests_[request_of_[Root(id)]].last;
      if (is_output_[id]) last.push_back(end);
      last.insert(last.end(), readers_[id].begin(), readers_[id].end());
    }
    sum += Aligned(scratch_[i]);
    scratch_request_.push_back(static_cast<int>(requests_.size()));
    requests_.push_back({scratch_[i], i, {i}});
  }
  for (MemoryRequest& request : requests_) {
    // An output is needed to the end: no step is after that.
    const auto& last = request.last;
    if (std::count(last.begin(), last.end(), end) > 0) request.last.clear();
  }
  plan_->unplanned_bytes_ = sum;
  return absl::OkStatus();
}

void PlanCompiler::PlaceValues() {
  std::unique_ptr<Reachability> reach;
  if (options_.parallel_branches) {
    reach = std::make_unique<Reachability>(plan_->steps_);
  }
  std::function<bool(int, int)> precedes;
  if (reach != nullptr) {
    precedes = [&](int a, int b) { return reach->Precedes(a, b); };
  }
  const MemoryPlan memory = PlanMemory(requests_, precedes);
  plan_->arena_ = options_.arena;
  if (plan_->arena_ == nullptr) plan_->arena_ = std::make_shared<Arena>();
  plan_->arena_bytes_ = memory.bytes;
  char* base = plan_->arena_->Join(plan_.get(), memory.bytes);
  for (size_t i = 0; i < plan_->steps_.size(); ++i) {
    if (scratch_[i] > 0) {
      plan_->steps_[i].scratch = base + memory.offsets[scratch_request_[i]];
    }
  }
  address_.assign(graph_.values().size(), nullptr);
  for (ValueId id = 0; id < static_cast<ValueId>(address_.size()); ++id) {
    const Value& value = graph_.value(id);
    if (value.kind == Value::kVariable) {
      address_[id] = variables_->Find(value.name)->data;
    } else if (request_of_[Root(id)] >= 0) {
      address_[id] = base + memory.offsets[request_of_[Root(id)]];
    }
  }
}

void PlanCompiler::PointInputs() {
  std::vector<int> bound(graph_.values().size(), -1);
  for (size_t i = 0; i < plan_->steps_.size(); ++i) {
    PlanStep& step = plan_->steps_[i];
    const Node& node = graph_.node(step.node);
    for (ValueId id : node.AllInputs()) {
      const TensorType type = Bound(id);
      if (graph_.value(id).kind == Value::kInput) {
        if (bound[id] < 0) {
          bound[id] = static_cast<int>(plan_->inputs_.size());
          plan_->inputs_.push_back({graph_.value(id).name, type, {}, -1});
        }
        plan_->inputs_[bound[id]].slots.push_back(
            {static_cast<int>(i), static_cast<int>(step.inputs.size())});
      }
      step.inputs.push_back({type.dtype, type.shape, address_[id]});
    }
    for (ValueId id : node.outputs) {
      const TensorType type = Bound(id);
      step.outputs.push_back({type.dtype, type.shape, address_[id]});
    }
  }
}

void PlanCompiler::NameOutputs() {
  for (ValueId id : graph_.outputs()) {
    const TensorType type = Bound(id);
    const std::string& name = graph_.value(id).name;
    if (graph_.value(id).kind == Value::kInput) {
      int input = plan_->FindInput(name);
      if (input < 0) {
        input = static_cast<int>(plan_->inputs_.size());
        plan_->inputs_.push_back({name, type, {}, -1});
      }
      plan_->inputs_[input].output = static_cast<int>(plan_->outputs_.size());
    }
    plan_->outputs_.emplace_back(name,
                                 Tensor{type.dtype, type.shape, address_[id]});
  }
}

absl::StatusOr<std::unique_ptr<Plan>> PlanCompiler::Compile() {
  if (options_.batch < 1) {
    return Invalid("a minibatch needs at least one sample, not ",
                   options_.batch);
  }
  plan_->batch_ = options_.batch;
  plan_->threads_ = options_.threads;
  plan_->part_ = options_.part;
  TAMER_RETURN_IF_ERROR(variables_->AddMissing(graph_, options_.seed));
  FindLive();
  TAMER_RETURN_IF_ERROR(Connect());
  TAMER_RETURN_IF_ERROR(OrderNodes());
  LinkSteps();
  TAMER_RETURN_IF_ERROR(MakeKernels());
  FindInPlace();
  TAMER_RETURN_IF_ERROR(RequestMemory());
  PlaceValues();
  PointInputs();
  NameOutputs();
  return std::move(plan_);
}

absl::StatusOr<std::unique_ptr<Plan>> Plan::Compile(const Graph& graph,
                                                    const PlanOptions& options,
                                                    Variables* variables) {
  const int team = omp_get_max_threads();
  if (options.threads > 0) omp_set_num_threads(options.threads);
  const WorkPartScope part(options.part);
  auto plan = PlanCompiler(graph, options, variables).Compile();
  omp_set_num_threads(team);
  return plan;
}

Plan::~Plan() {
  if (arena_ != nullptr) arena_->Leave(this);
}

void Plan::Move(const void* from, int64_t bytes, void* to) {
  const auto move = [&](void** data) {
    const uintptr_t at =
        reinterpret_cast<uintptr_t>(*data) - reinterpret_cast<uintptr_t>(from);
    if (at < static_cast<uintptr_t>(bytes)) *data = static_cast<char*>(to) + at;
  };
  for (PlanStep& step : steps_) {
    for (Tensor& tensor : step.inputs) move(&tensor.data);
    for (Tensor& tensor : step.outputs) move(&tensor.data);
    move(&step.scratch);
  }
  for (auto& output : outputs_) move(&output.second.data);
}

int Plan::FindInput(const std::string& name) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (inputs_[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

void Plan::BindInput(int input, const void* data) {
  for (const Slot& slot : inputs_[input].slots) {
    // Kernels only read inputs; the view has no const form.
    steps_[slot.step].inputs[slot.input].data = const_cast<void*>(data);
  }
  const int output = inputs_[input].output;
  if (output >= 0) outputs_[output].second.data = const_cast<void*>(data);
}

Tensor Plan::FindOutput(const std::string& name) const {
  for (const auto& output : outputs_) {
    if (output.first == name) return output.second;
  }
  return Tensor();
}

}  // namespace tamer
