#include "core/passes/recompute.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "core/passes/passes.h"
#include "core/passes/solver.h"

namespace tamer {
namespace {

constexpr char kGradient[] = "grad/";

int64_t BytesOf(const Value& value, int64_t batch) {
  return value.type.shape.Bind(batch).elements() * SizeOf(value.type.dtype);
}

// A graph with some values of the way forward dropped and computed again where
// the way back reads them.
class Recomputer {
 public:
  explicit Recomputer(const Graph& graph);

  // The number of nodes of the way forward; 0 if there is no way back.
  int forward() const { return forward_; }
  // The bytes that a forward node's outputs could give back.
  int64_t Droppable(NodeId id, int64_t batch) const;

  // `segment_of` has a number for each node of the way forward: what is read
  // in the node's own segment alone is dropped; with -1 nothing, with -2 all.
  absl::StatusOr<Graph> Build(const std::vector<int>& segment_of);

 private:
  void MarkDropped(const std::vector<int>& segment_of);
  absl::Status Emit(NodeId id);
  // Makes the dropped value `id` known again, and what it needs.
  absl::Status Restore(ValueId id);
  absl::Status Copy(NodeId id);

  const Graph& graph_;
  int forward_ = 0;
  std::vector<std::vector<NodeId>> readers_;  // of values
  std::vector<bool> is_output_;               // values
  std::vector<bool> dropped_;                 // values
  std::vector<bool> restored_;                // nodes
  Graph result_;
};

Recomputer::Recomputer(const Graph& graph)
    : graph_(graph),
      readers_(graph.values().size()),
      is_output_(graph.values().size(), false),
      result_(&graph.registry()) {
  const NodeId nodes = static_cast<NodeId>(graph.nodes().size());
  for (NodeId id = 0; id < nodes; ++id) {
    for (ValueId value : graph.node(id).AllInputs()) {
      readers_[value].push_back(id);
    }
    const bool back = absl::StartsWith(graph.node(id).name, kGradient);
    if (back && forward_ == 0) forward_ = id;
  }
  for (ValueId id : graph.outputs()) is_output_[id] = true;
}

int64_t Recomputer::Droppable(NodeId id, int64_t batch) const {
  const Node& node = graph_.node(id);
  if (!node.Mutates().empty()) return 0;
  int64_t bytes = 0;
  for (ValueId output : node.outputs) {
    const auto& readers = readers_[output];
    if (is_output_[output] || readers.empty() || readers.back() < forward_) {
      continue;
    }
    bytes += BytesOf(graph_.value(output), batch);
  }
  return bytes;
}

void Recomputer::MarkDropped(const std::vector<int>& segment_of) {
  dropped_.assign(graph_.values().size(), false);
  for (NodeId id = 0; id < forward_; ++id) {
    const Node& node = graph_.node(id);
    // What a run changes would be changed twice.
    if (segment_of[id] == -1 || !node.Mutates().empty()) continue;
    for (ValueId output : node.outputs) {
      bool drop = !is_output_[output];
      for (NodeId reader : readers_[output]) {
        if (reader >= forward_ || segment_of[id] == -2) continue;
        drop = drop && segment_of[reader] == segment_of[id];
      }
      dropped_[output] = drop;
    }
  }
}

absl::Status Recomputer::Copy(NodeId id) {
  const Node& node = graph_.node(id);
  std::vector<std::string> inputs;
  for (ValueId input : node.inputs) {
    const Value& value = graph_.value(input);
    inputs.push_back(dropped_[input] ? kRecomputed + value.name : value.name);
  }
  const std::string owner = node.variables.empty() || !node.share_with.empty()
                                ? node.share_with
                                : node.name;
  return result_
      .AddNode(kRecomputed + node.name, *node.params, inputs, owner,
               node.location)
      .status();
}

// Nodes that are needed first come first; a stack of our own, since a chain may
// be as long as the graph.
absl::Status Recomputer::Restore(ValueId id) {
  std::vector<NodeId> stack = {graph_.value(id).node};
  while (!stack.empty()) {
    const NodeId top = stack.back();
    bool ready = true;
    for (ValueId input : graph_.node(top).inputs) {
      const NodeId source = graph_.value(input).node;
      if (!dropped_[input] || restored_[source]) continue;
      stack.push_back(source);
      ready = false;
    }
    if (!ready) continue;
    stack.pop_back();
    if (restored_[top]) continue;
    restored_[top] = true;
    TAMER_RETURN_IF_ERROR(Copy(top));
  }
  return absl::OkStatus();
}

absl::Status Recomputer::Emit(NodeId id) {
  const Node& node = graph_.node(id);
  std::vector<std::string> inputs;
  for (ValueId input : node.inputs) {
    const bool again = id >= forward_ && dropped_[input];
    if (again && !restored_[graph_.value(input).node]) {
      TAMER_RETURN_IF_ERROR(Restore(input));
    }
    inputs.push_back((again ? kRecomputed : "") + graph_.value(input).name);
  }
  return result_
      .AddNode(node.name, *node.params, inputs, node.share_with, node.location)
      .status();
}

absl::StatusOr<Graph> Recomputer::Build(const std::vector<int>& segment_of) {
  result_ = Graph(&graph_.registry());
  result_.set_name(graph_.name());
  restored_.assign(graph_.nodes().size(), false);
  MarkDropped(segment_of);
  for (ValueId id : graph_.inputs()) {
    const Value& value = graph_.value(id);
    TAMER_RETURN_IF_ERROR(result_.AddInput(value.name, value.type).status());
  }
  for (NodeId id = 0; id < static_cast<NodeId>(graph_.nodes().size()); ++id) {
    TAMER_RETURN_IF_ERROR(Emit(id));
  }
  for (ValueId id : graph_.outputs()) {
    TAMER_RETURN_IF_ERROR(result_.AddOutput(graph_.value(id).name));
  }
  return std::move(result_);
}

// The instance of the block called `name` that `node` stands in, by its name;
// "" if `name` is the node itself.
std::string InstanceOf(const std::string& name, const std::string& node) {
  for (size_t end = 1; end < node.size(); ++end) {
    if (node[end] != '/' && node[end] != '.') continue;
    if (Covers(name, node.substr(0, end))) {
      return node.substr(0, node.find('/', end));
    }
  }
  return "";
}

std::vector<int> NamedSegments(const Graph& graph, int forward,
                               const RecomputeDef& how) {
  std::vector<int> segments(forward, -1);
  std::map<std::string, int> numbers;
  for (const std::string& name : how.node()) {
    for (NodeId id = 0; id < forward; ++id) {
      const std::string& node = graph.node(id).name;
      if (!Covers(name, node)) continue;
      const std::string instance = InstanceOf(name, node);
      segments[id] =
          instance.empty()
              ? -2
              : numbers.emplace(instance, numbers.size()).first->second;
    }
  }
  return segments;
}

// Segments of about equal bytes; the last is needed at once and kept.
std::vector<int> EvenSegments(const std::vector<int64_t>& bytes, int count) {
  int64_t sum = 0, done = 0;
  for (int64_t size : bytes) sum += size;
  std::vector<int> segments;
  for (int64_t size : bytes) {
    const int segment = static_cast<int>(std::min<double>(
        count - 1,
        static_cast<double>(done) * count / std::max<double>(1, sum)));
    segments.push_back(segment == count - 1 ? -1 : segment);
    done += size;
  }
  return segments;
}

std::vector<int> CountedSegments(int forward, int every) {
  std::vector<int> segments(forward);
  for (int i = 0; i < forward; ++i) {
    const int segment = i / every;
    segments[i] = segment == (forward - 1) / every ? -1 : segment;
  }
  return segments;
}

// The cheapest of several numbers of segments around the square root.
absl::StatusOr<Graph> BestOf(Recomputer& recomputer, int64_t batch) {
  std::vector<int64_t> bytes;
  int values = 0;
  for (NodeId id = 0; id < recomputer.forward(); ++id) {
    bytes.push_back(recomputer.Droppable(id, batch));
    values += bytes.back() > 0;
  }
  const double root = std::sqrt(static_cast<double>(values));
  TAMER_ASSIGN_OR_RETURN(
      Graph best, recomputer.Build(std::vector<int>(recomputer.forward(), -1)));
  TAMER_ASSIGN_OR_RETURN(Graph fused, Fuse(best));
  int64_t least = PeakBytes(fused, batch);
  int before = 1;
  for (double factor : {0.35, 0.5, 0.7, 1.0, 1.4, 2.0}) {
    const int count = static_cast<int>(std::lround(root * factor));
    if (count <= before) continue;
    before = count;
    TAMER_ASSIGN_OR_RETURN(Graph graph,
                           recomputer.Build(EvenSegments(bytes, count)));
    TAMER_ASSIGN_OR_RETURN(fused, Fuse(graph));
    const int64_t peak = PeakBytes(fused, batch);
    if (peak >= least) continue;
    least = peak;
    best = std::move(graph);
  }
  return best;
}

}  // namespace

int64_t PeakBytes(const Graph& graph, int64_t batch) {
  const NodeId nodes = static_cast<NodeId>(graph.nodes().size());
  std::vector<NodeId> last(graph.values().size(), -1);
  for (NodeId id = 0; id < nodes; ++id) {
    for (ValueId value : graph.node(id).outputs) last[value] = id;
    for (ValueId value : graph.node(id).inputs) last[value] = id;
  }
  for (ValueId id : graph.outputs()) last[id] = nodes;
  std::vector<int64_t> over(nodes + 1, 0);
  int64_t now = 0, most = 0;
  for (NodeId id = 0; id < nodes; ++id) {
    for (ValueId value : graph.node(id).outputs) {
      const int64_t bytes = BytesOf(graph.value(value), batch);
      now += bytes;
      over[last[value]] += bytes;
    }
    most = std::max(most, now);
    now -= over[id];
  }
  return most;
}

absl::StatusOr<Graph> Recompute(const Graph& training, const RecomputeDef& how,
                                int64_t batch) {
  if (how.has_every() && how.node_size() > 0) {
    return Invalid("recompute: it has both every and node; keep one");
  }
  if (how.has_every() && how.every() < 1) {
    return Invalid("recompute: every is ", how.every(),
                   "; it must be at least 1");
  }
  Recomputer recomputer(training);
  // Without a way back nothing waits for it.
  if (recomputer.forward() == 0) return training;
  if (how.has_every()) {
    return recomputer.Build(CountedSegments(recomputer.forward(), how.every()));
  }
  if (how.node_size() > 0) {
    return recomputer.Build(NamedSegments(training, recomputer.forward(), how));
  }
  return BestOf(recomputer, batch);
}

}  // namespace tamer
