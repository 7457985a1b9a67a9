#include "core/sampling/language.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/base/random.h"
#include "core/passes/passes.h"

namespace tamer {
namespace {

absl::Status CheckLanguageModel(const Graph& graph) {
  if (graph.inputs().size() != 1 || graph.outputs().size() != 1) {
    return Invalid("a language model has one input and one output, not ",
                   graph.inputs().size(), " and ", graph.outputs().size());
  }
  const TensorType& tokens = graph.value(graph.inputs()[0]).type;
  const TensorType& logits = graph.value(graph.outputs()[0]).type;
  if (tokens.dtype != DType::kInt32 || tokens.shape.rank() != 2 ||
      logits.shape.rank() != 3 || logits.shape.dim(1) != tokens.shape.dim(1)) {
    return Invalid("a language model reads tokens, INT32 [B, T], and gives ",
                   "logits, [B, T, vocabulary]; this network reads ",
                   tokens.ToString(), " and gives ", logits.ToString());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Graph> LanguageNetwork(const Product& product) {
  Graph network = product.network;
  const FinetuneDef* finetune = product.finetune();
  if (finetune != nullptr && !finetune->output().empty()) {
    network.ClearOutputs();
    TAMER_RETURN_IF_ERROR(network.AddOutput(finetune->output()));
  }
  return Infer(network);
}

absl::StatusOr<std::unique_ptr<LanguageModel>> LanguageModel::Make(
    const Graph& network, Variables* variables, bool may_cache,
    Scheduler* scheduler) {
  TAMER_RETURN_IF_ERROR(CheckLanguageModel(network));
  std::unique_ptr<LanguageModel> model(new LanguageModel);
  model->scheduler_ = scheduler;
  model->context_ = network.value(network.inputs()[0]).type.shape.dim(1);
  model->vocabulary_ = network.value(network.outputs()[0]).type.shape.back();
  absl::StatusOr<Graph> decoded =
      may_cache ? Decode(network, 1) : absl::CancelledError("not wanted");
  model->cached_ = decoded.ok();
  if (!decoded.ok()) model->reason_ = std::string(decoded.status().message());
  TAMER_RETURN_IF_ERROR(
      model->Compile(decoded.ok() ? *decoded : network, variables));
  return model;
}

absl::Status LanguageModel::Compile(const Graph& graph, Variables* variables) {
  PlanOptions options;
  options.batch = 1;
  options.fixed_variables = true;
  TAMER_ASSIGN_OR_RETURN(plan_, Plan::Compile(graph, options, variables));
  tokens_.assign(cached_ ? 1 : context_, 0);
  const int input = plan_->FindInput(graph.value(graph.inputs()[0]).name);
  if (input >= 0) plan_->BindInput(input, tokens_.data());
  const int position = cached_ ? plan_->FindInput(kDecodePosition) : -1;
  if (position >= 0) plan_->BindInput(position, &position_);
  return absl::OkStatus();
}

void LanguageModel::Begin() {
  window_.clear();
  kept_ = 0;
}

absl::StatusOr<absl::Span<const float>> LanguageModel::Read(int32_t token) {
  if (token < 0 || token >= vocabulary_) {
    return Invalid("token ", token, " is not within the vocabulary of ",
                   vocabulary_);
  }
  if (static_cast<int64_t>(window_.size()) == context_) {
    window_.erase(window_.begin(), window_.end() - context_ / 2);
    kept_ = 0;
  }
  window_.push_back(token);
  TAMER_RETURN_IF_ERROR(cached_ ? RunCached() : RunWhole());
  const int64_t row = cached_ ? 0 : static_cast<int64_t>(window_.size()) - 1;
  return absl::MakeConstSpan(plan_->output(0).floats() + row * vocabulary_,
                             vocabulary_);
}

absl::Status LanguageModel::RunCached() {
  for (; kept_ < window_.size(); ++kept_) {
    tokens_[0] = window_[kept_];
    position_ = static_cast<int32_t>(kept_);
    TAMER_RETURN_IF_ERROR(scheduler_->Run(*plan_, 0));
  }
  return absl::OkStatus();
}

// What stands behind the last token changes nothing before it.
absl::Status LanguageModel::RunWhole() {
  std::fill(tokens_.begin(), tokens_.end(), 0);
  std::copy(window_.begin(), window_.end(), tokens_.begin());
  return scheduler_->Run(*plan_, 0);
}

int32_t SampleToken(absl::Span<const float> logits,
                    const SamplingOptions& options, uint64_t step) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  if (options.temperature <= 0) {
    return static_cast<int32_t>(largest - logits.begin());
  }
  float least = -std::numeric_limits<float>::infinity();
  if (options.top_k > 0 &&
      options.top_k < static_cast<int64_t>(logits.size())) {
    std::vector<float> sorted(logits.begin(), logits.end());
    std::nth_element(sorted.begin(), sorted.begin() + options.top_k - 1,
                     sorted.end(), std::greater<float>());
    least = sorted[options.top_k - 1];
  }
  std::vector<double> sums;
  double sum = 0;
  for (float logit : logits) {
    if (logit >= least) {
      sum += std::exp((double{logit} - *largest) / options.temperature);
    }
    sums.push_back(sum);
  }
  constexpr uint64_t kFine = uint64_t{1} << 53;
  const uint64_t key = StreamKey(options.seed, "tokens");
  const double at = sum *
                    static_cast<double>(RandomBelow(key, step, 0, kFine)) /
                    static_cast<double>(kFine);
  const auto found = std::upper_bound(sums.begin(), sums.end(), at);
  return static_cast<int32_t>(found - sums.begin());
}

absl::StatusOr<std::vector<int32_t>> Continue(
    const std::vector<int32_t>& prompt, int64_t count,
    const SamplingOptions& options, LanguageModel* model) {
  if (prompt.empty()) return Invalid("a prompt needs at least one token");
  model->Begin();
  absl::Span<const float> logits;
  for (int32_t token : prompt) {
    TAMER_ASSIGN_OR_RETURN(logits, model->Read(token));
  }
  std::vector<int32_t> tokens;
  while (static_cast<int64_t>(tokens.size()) < count) {
    tokens.push_back(SampleToken(logits, options, tokens.size()));
    if (static_cast<int64_t>(tokens.size()) == count) break;
    TAMER_ASSIGN_OR_RETURN(logits, model->Read(tokens.back()));
  }
  return tokens;
}

}  // namespace tamer
