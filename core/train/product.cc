#include "core/train/product.h"

#include <cstring>

#include "core/base/cpu.h"
#include "core/graph/text.h"
#include "core/passes/fold.h"
#include "core/passes/passes.h"
#include "core/runtime/trial.h"
#include "core/train/checkpoint.h"
#include "core/train/files.h"
#include "core/train/load.h"
#include "core/train/run_folder.h"
#include "proto/ops/activation.pb.h"

namespace tamer {
namespace {

// Whether standardising, if that is the recipe's way, has a mean and a factor
// for each feature.
bool HasStatistics(const Product& product) {
  const ManifestDef& manifest = product.manifest;
  if (product.data().scale() != STANDARDIZE) return true;
  const Graph& network = product.network;
  return network.inputs().size() == 1 &&
         manifest.feature_mean_size() == manifest.feature_factor_size() &&
         manifest.feature_mean_size() ==
             -network.value(network.inputs()[0]).type.shape.elements();
}

// The folder of the run around a product, as its run.pbtxt has it.
std::string RunFolder(const std::string& product, const OpRegistry& registry) {
  const std::string file = JoinPath(product, "../run.pbtxt");
  const auto text = ReadFile(file);
  RunDef run;
  if (!text.ok() || !ParseText(*text, file, registry, &run).ok()) return "";
  return run.folder();
}

}  // namespace

const StageDef& Product::stage() const {
  for (const StageDef& stage : manifest.recipe().stage()) {
    if (stage.name() == manifest.stage()) return stage;
  }
  return StageDef::default_instance();
}

const FinetuneDef* Product::finetune() const {
  return stage().has_finetune() ? &stage().finetune() : nullptr;
}

const DataDef& Product::data() const {
  return DataOf(manifest.recipe(), stage());
}

FeatureScaling Product::ScalingFor(const Dataset& data) const {
  const Scaling kind = this->data().scale();
  if (kind != STANDARDIZE) return FeatureScaling::Fit(kind, data);
  FeatureScaling scaling;
  scaling.mean.assign(manifest.feature_mean().begin(),
                      manifest.feature_mean().end());
  scaling.factor.assign(manifest.feature_factor().begin(),
                        manifest.feature_factor().end());
  return scaling;
}

absl::StatusOr<ProductInfo> FindProductOrRun(const std::string& path,
                                             const OpRegistry& registry) {
  const std::string run_file = JoinPath(path, "run.pbtxt");
  if (!Exists(run_file)) return FindProduct(path);
  TAMER_ASSIGN_OR_RETURN(const std::string text, ReadFile(run_file));
  RunDef run;
  TAMER_RETURN_IF_ERROR(ParseText(text, run_file, registry, &run));
  std::string complaint;
  const std::vector<ProductInfo> products = ListProducts(path, &complaint);
  for (int i = run.recipe().stage_size() - 1; i >= 0; --i) {
    for (auto it = products.rbegin(); it != products.rend(); ++it) {
      if (it->manifest.stage() == run.recipe().stage(i).name()) return *it;
    }
  }
  if (!complaint.empty()) return absl::DataLossError(complaint);
  return absl::NotFoundError(
      absl::StrCat(path, ": no stage of this run is finished yet"));
}

absl::StatusOr<std::unique_ptr<Product>> OpenProduct(
    const std::string& path, const OpRegistry& registry) {
  auto product = std::make_unique<Product>(&registry);
  TAMER_ASSIGN_OR_RETURN(const ProductInfo info,
                         FindProductOrRun(path, registry));
  TAMER_ASSIGN_OR_RETURN(LoadedProduct loaded, LoadProduct(info));
  product->path = info.path;
  product->id = info.id;
  product->folder = RunFolder(product->path, registry);
  // The op may be there already, by another way.
  absl::Status plugins;
  for (const std::string& plugin : loaded.info.manifest.recipe().plugin()) {
    plugins.Update(registry.LoadPlugin(plugin, product->folder));
  }
  auto network = Graph::FromDef(loaded.info.manifest.graph(), &registry);
  if (!network.ok()) {
    return Annotate(plugins.ok() ? network.status() : plugins, product->path);
  }
  product->network = *std::move(network);
  LoadDef lenient;
  lenient.add_allow_unexpected("*");
  lenient.add_allow_missing("*");
  const auto report = LoadParameters(product->network, loaded.tensors, lenient,
                                     &product->variables);
  if (!report.ok()) return Annotate(report.status(), product->path);
  product->untrained = report->missing;
  TAMER_RETURN_IF_ERROR(product->variables.AddMissing(
      product->network, loaded.info.manifest.recipe().seed()));
  product->manifest = std::move(loaded.info.manifest);
  if (!HasStatistics(*product)) {
    return Invalid(product->path,
                   ": its feature statistics don't fit its input");
  }
  return product;
}

absl::StatusOr<PredictionGraph> MakePredictionGraph(const Product& product) {
  if (!product.untrained.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        product.path, " is pretrained; \"", product.untrained[0],
        "\" is yet to be trained by fine-tuning, so it cannot predict"));
  }
  TAMER_ASSIGN_OR_RETURN(Graph graph, Infer(product.network));
  PredictionGraph result{std::move(graph), "", false};
  const FinetuneDef* finetune = product.finetune();
  result.output = finetune != nullptr && finetune->has_output()
                      ? finetune->output()
                      : result.graph.value(result.graph.outputs()[0]).name;
  if (finetune == nullptr) return result;
  std::unique_ptr<OpParams> link;
  if (finetune->loss().type_url() == "op/SoftmaxCrossEntropy") {
    link = std::make_unique<op::Softmax>();
    result.probabilities = true;
  } else if (finetune->loss().type_url() == "op/SigmoidCrossEntropy") {
    link = std::make_unique<op::Sigmoid>();
  } else {
    return result;
  }
  const std::string name = "prediction";
  TAMER_RETURN_IF_ERROR(
      result.graph.AddNode(name, *link, {result.output}).status());
  result.graph.ClearOutputs();
  TAMER_RETURN_IF_ERROR(result.graph.AddOutput(name));
  result.output = name;
  return result;
}

namespace {

// The graph with its norms within the layers before them, whose parameters are
// added to the product's.
absl::StatusOr<Graph> WithFoldedNorms(const Graph& graph,
                                      Variables* variables) {
  std::vector<FoldedNorm> folded;
  TAMER_ASSIGN_OR_RETURN(Graph result, FoldNorms(graph, &folded));
  for (const FoldedNorm& one : folded) {
    const auto add = [&](const char* name) {
      const ValueId id = result.FindValue(absl::StrCat(one.norm, "/", name));
      return variables->Add(result.value(id).name, result.value(id).type);
    };
    TAMER_ASSIGN_OR_RETURN(const Tensor weight, add("weight"));
    TAMER_ASSIGN_OR_RETURN(const Tensor bias, add("bias"));
    const auto find = [&](const std::string& name) {
      return variables->Find(name);
    };
    TAMER_RETURN_IF_ERROR(FoldWeights(one, find, weight, bias));
  }
  return result;
}

}  // namespace

Predictor::Predictor(std::unique_ptr<Product> product,
                     PredictionGraph prediction, const ThreadOptions& threads)
    : product_(std::move(product)),
      prediction_(std::move(prediction)),
      scheduler_(threads) {
  Dataset floats;
  floats.dtype = DType::kFloat;
  scaling_ = product_->ScalingFor(floats);
  const Graph& graph = prediction_.graph;
  input_width_ = -graph.value(graph.inputs()[0]).type.shape.elements();
  output_width_ =
      -graph.value(graph.FindValue(prediction_.output)).type.shape.elements();
}

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Open(
    const std::string& path, const OpRegistry& registry,
    const ThreadOptions& threads, Precision precision) {
  if (precision == BF16 && !CpuHasBf16()) return Invalid(kNoBf16);
  TAMER_ASSIGN_OR_RETURN(auto product, OpenProduct(path, registry));
  TAMER_ASSIGN_OR_RETURN(PredictionGraph prediction,
                         MakePredictionGraph(*product));
  if (prediction.graph.inputs().size() != 1) {
    return Invalid(path, ": the network has ", prediction.graph.inputs().size(),
                   " inputs; a Predictor feeds one");
  }
  const Graph& graph = prediction.graph;
  const Value& input = graph.value(graph.inputs()[0]);
  if (input.type.dtype != DType::kFloat) {
    return Invalid(path, ": the network's input \"", input.name, "\" is ",
                   input.type.ToString(), "; a Predictor feeds FLOAT");
  }
  TAMER_ASSIGN_OR_RETURN(prediction.graph,
                         WithFoldedNorms(graph, &product->variables));
  TAMER_ASSIGN_OR_RETURN(prediction.graph, Fuse(prediction.graph, precision));
  return std::unique_ptr<Predictor>(
      new Predictor(std::move(product), std::move(prediction), threads));
}

absl::StatusOr<const float*> Predictor::Predict(const float* features,
                                                int64_t samples) {
  if (samples < 1) return Invalid("a prediction needs at least one sample");
  std::unique_ptr<Plan>& plan = plans_[samples];
  if (plan == nullptr) {
    PlanOptions options;
    options.batch = samples;
    options.fixed_variables = true;
    if (scheduler_.may_choose()) {
      TAMER_ASSIGN_OR_RETURN(
          options.threads,
          ChooseThreads(prediction_.graph, options, scheduler_.intra_op()));
    }
    options.arena = arena_;
    TAMER_ASSIGN_OR_RETURN(
        plan, Plan::Compile(prediction_.graph, options, &product_->variables));
  }
  scaled_.resize(samples * input_width_);
  for (int64_t i = 0; i < samples; ++i) {
    scaling_.ApplyTo(features + i * input_width_, input_width_,
                     scaled_.data() + i * input_width_);
  }
  const Graph& graph = prediction_.graph;
  plan->BindInput(plan->FindInput(graph.value(graph.inputs()[0]).name),
                  scaled_.data());
  TAMER_RETURN_IF_ERROR(scheduler_.Run(*plan, 0));
  return plan->FindOutput(prediction_.output).floats();
}

}  // namespace tamer
