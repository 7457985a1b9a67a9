#include "tests/bench/jobs.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/random.h"
#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "google/protobuf/text_format.h"
#include "ops/builtin.h"
#include "tests/bench/networks.h"

namespace tamer {
namespace {

// So many digits, so that what a job has read of a parameter for one of them
// tells nothing of the next.
constexpr int kDigits = 1000, kPixels = 784;

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  if (!google::protobuf::TextFormat::ParseFromString(text, &message)) abort();
  return message;
}

Graph Network(const std::string& text) {
  return Check(ParseGraph(text, "bench", &Registry()));
}

Graph Training(const std::string& network,
               const std::string& loss = "SoftmaxCrossEntropy",
               FinetuneDef::Target target = FinetuneDef::LABELS) {
  FinetuneDef finetune;
  finetune.mutable_loss()->set_type_url("op/" + loss);
  finetune.set_target(target);
  return Check(Finetune(
      Network(network), finetune,
      Parse<SolverDef>("nesterov { learning_rate: 0.1 momentum: 0.9 }")));
}

// One layer's step on what those below made of the data.
Graph Rbm(const char* network, const std::string& node,
          const std::string& below) {
  Graph graph = Check(Infer(Network(network)));
  if (!below.empty()) graph = Check(CutBelow(graph, below));
  return Check(
      Pretrain(graph, Parse<PretrainLayer>("rbm {} node: '" + node + "'"),
               Parse<SolverDef>("sgd { learning_rate: 0.1 momentum: 0.5 }")));
}

struct Kind {
  const char* name;
  std::function<Graph()> graph;
  std::vector<int64_t> batches;
  bool prediction = false;
};

const std::vector<Kind>& Kinds() {
  static const auto* kinds = new std::vector<Kind>{
      {"mlp_train", [] { return Training(kMlp); }, {10, 100}},
      {"rbm", [] { return Rbm(kMlp, "h1", ""); }, {10, 100}},
      {"infer",
       [] { return Check(Infer(Network(kMlp))); },
       {1, 100},
       /*prediction=*/true},
      {"dbn_rbm1", [] { return Rbm(kDbn, "h1", ""); }, {100}},
      {"dbn_rbm2", [] { return Rbm(kDbn, "h2", "h1"); }, {100}},
      {"dbn_rbm3", [] { return Rbm(kDbn, "h3", "h2"); }, {100}},
      {"lenet_train", [] { return Training(kLenet); }, {10, 100}},
      {"resnet_train", [] { return Training(kResnet); }, {32, 100}},
      {"dbn_finetune", [] { return Training(kDbn); }, {100}},
      {"lstm_train", [] { return Training(kLstm); }, {32}},
      // A sample is a context of 128 tokens.
      {"transformer_train",
       [] {
         return Training(kTransformer, "SequenceCrossEntropy",
                         FinetuneDef::NEXT_TOKEN);
       },
       {8}},
  };
  return *kinds;
}

std::string NameOf(const Kind& kind, int64_t batch, Precision precision) {
  return absl::StrCat(kind.name, "_", batch, precision == BF16 ? "_bf16" : "");
}

// All jobs: what they are, their minibatch and precision.
template <typename Use>
void ForEachJob(const Use& use) {
  for (Precision precision : {FP32, BF16}) {
    for (const Kind& kind : Kinds()) {
      for (int64_t batch : kind.batches) use(kind, batch, precision);
    }
  }
}

std::vector<Minibatch> Minibatches(const Dataset& digits, int64_t batch) {
  const FeatureScaling scaling = FeatureScaling::Fit(UNIT, digits);
  std::vector<Minibatch> minibatches(digits.size / batch);
  int64_t row = 0;
  for (Minibatch& minibatch : minibatches) {
    minibatch.features =
        Buffer(batch * kPixels * static_cast<int64_t>(sizeof(float)));
    float* features = static_cast<float*>(minibatch.features.data());
    for (int64_t i = 0; i < batch; ++i, ++row) {
      scaling.Apply(digits, row, features + i * kPixels);
      minibatch.labels.push_back(digits.labels[row]);
    }
  }
  return minibatches;
}

// Uniform numbers, or tokens that are bytes.
std::vector<Minibatch> MadeUp(const TensorType& type) {
  std::vector<Minibatch> minibatches(8);
  const int64_t n = type.shape.elements();
  for (size_t i = 0; i < minibatches.size(); ++i) {
    minibatches[i].features = Buffer(n * static_cast<int64_t>(sizeof(float)));
    float* features = static_cast<float*>(minibatches[i].features.data());
    FillUniform(7, i, n, features);
    if (type.dtype != DType::kInt32) continue;
    for (int64_t e = 0; e < n; ++e) {
      const int32_t token = static_cast<int32_t>(256 * features[e]);
      std::memcpy(features + e, &token, sizeof(token));
    }
  }
  return minibatches;
}

}  // namespace

void Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  std::exit(1);
}

const OpRegistry& Registry() {
  static const OpRegistry* registry = [] {
    auto* made = new OpRegistry;
    const absl::Status status = RegisterBuiltinOps(*made);
    if (!status.ok()) Fail(status);
    return made;
  }();
  return *registry;
}

double Job::Flops() const {
  double flops = 0;
  for (const Node& node : graph.nodes()) {
    const std::string& op = node.op->name();
    const bool product = op == "Dense" || op == "Affine" || op == "MatMul" ||
                         op == "Lstm" || op == "RecurrentGradient";
    if (!product && !absl::StartsWith(op, "Conv") &&
        !absl::StartsWith(op, "Attention")) {
      continue;
    }
    flops += node.op->Flops(BoundSpec(graph, node, batch));
  }
  return flops;
}

std::vector<std::string> JobNames() {
  std::vector<std::string> names;
  ForEachJob([&](const Kind& kind, int64_t batch, Precision precision) {
    names.push_back(NameOf(kind, batch, precision));
  });
  return names;
}

Job MakeJob(const std::string& name) {
  Job job{name, Graph(&Registry())};
  bool found = false;
  ForEachJob([&](const Kind& kind, int64_t batch, Precision precision) {
    if (NameOf(kind, batch, precision) != name) return;
    found = true;
    job.graph = kind.graph();
    job.batch = batch;
    job.precision = precision;
    job.prediction = kind.prediction;
  });
  if (!found) Fail(absl::NotFoundError(absl::StrCat("no job ", name)));
  return job;
}

Job MakeStack(int64_t width, int depth, int64_t batch) {
  std::string text = absl::StrCat("input { name: 'x' shape: [", width, "] }\n");
  std::string below = "x";
  for (int i = 1; i <= depth; ++i) {
    const std::string name = absl::StrCat("h", i);
    absl::StrAppend(&text, "node { name: '", name, "' input: '", below,
                    "' op { [op/Dense] { units: ", width,
                    " activation: RELU } } }\n");
    below = name;
  }
  absl::StrAppend(&text, "node { name: 'y' input: '", below,
                  "' op { [op/Dense] { units: 10 } } }\noutput: 'y'");
  Job job{absl::StrCat(width, "x", depth, "_", batch), Training(text)};
  job.batch = batch;
  return job;
}

std::shared_ptr<const Dataset> ReadDigits(const std::string& folder) {
  DataSource source;
  source.set_limit(kDigits);
  source.mutable_idx()->set_images("train-images-idx3-ubyte");
  source.mutable_idx()->set_labels("train-labels-idx1-ubyte");
  return Check(ReadDataset(source, folder));
}

Stepper::Stepper(const Job& job, int threads, const Dataset* digits)
    : scheduler_([&] {
        ThreadOptions options;
        options.intra_op = threads;
        return options;
      }()) {
  const Graph fused =
      job.fuse ? Check(Fuse(job.graph, job.precision)) : job.graph;
  PlanOptions options;
  options.batch = job.batch;
  options.fixed_variables = job.prediction;
  plan_ = Check(Plan::Compile(fused, options, &variables_));
  int64_t label_count = 0;
  for (ValueId id : fused.inputs()) {
    const Value& value = fused.value(id);
    const int input = plan_->FindInput(value.name);
    if (input < 0) continue;
    if (value.name == "labels") {
      labels_ = input;
      label_count = value.type.shape.Bind(job.batch).elements();
    } else if (value.name == "learning_rate") {
      plan_->BindInput(input, &rate_);
    } else if (value.name == "momentum") {
      plan_->BindInput(input, &momentum_);
    } else {
      input_ = input;
      const TensorType type = {value.type.dtype,
                               value.type.shape.Bind(job.batch)};
      const bool real = digits != nullptr && type.dtype == DType::kFloat &&
                        type.shape.elements() == job.batch * kPixels;
      minibatches_ = real ? Minibatches(*digits, job.batch) : MadeUp(type);
    }
  }
  for (Minibatch& minibatch : minibatches_) {
    for (int64_t i = minibatch.labels.size(); i < label_count; ++i) {
      minibatch.labels.push_back(static_cast<int32_t>(i % 10));
    }
  }
}

void Stepper::Step() {
  const Minibatch& minibatch = minibatches_[step_ % minibatches_.size()];
  plan_->BindInput(input_, minibatch.features.data());
  if (labels_ >= 0) plan_->BindInput(labels_, minibatch.labels.data());
  const absl::Status status = scheduler_.Run(*plan_, step_++);
  if (!status.ok()) Fail(status);
}

}  // namespace tamer
