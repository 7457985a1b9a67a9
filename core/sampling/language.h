#ifndef TAMER_CORE_SAMPLING_LANGUAGE_H_
#define TAMER_CORE_SAMPLING_LANGUAGE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "core/train/product.h"

namespace tamer {

// A trained language model at work: it reads a token and tells what may follow
// all that it has read. The network reads tokens [T] and gives logits [T,
// vocabulary], each position seeing none behind it.
//
// Where the network's ops allow it (see Decode in core/passes) keys and values
// are kept and each token costs one position; else each costs the whole
// context. The answers are the same. What goes beyond the context makes the
// model forget the older half.
class LanguageModel {
 public:
  // A network for prediction (see LanguageNetwork) and its parameters, which,
  // like the scheduler, must outlive the model.
  static absl::StatusOr<std::unique_ptr<LanguageModel>> Make(
      const Graph& network, Variables* variables, bool may_cache,
      Scheduler* scheduler);

  int64_t vocabulary() const { return vocabulary_; }
  int64_t context() const { return context_; }
  // Whether it keeps keys and values; if not though it might, why.
  bool cached() const { return cached_; }
  const std::string& reason() const { return reason_; }

  // Forgets all that was read.
  void Begin();
  // The logits of what follows `token`. Valid until the next call.
  absl::StatusOr<absl::Span<const float>> Read(int32_t token);

 private:
  LanguageModel() = default;
  absl::Status Compile(const Graph& graph, Variables* variables);
  absl::Status RunCached();
  absl::Status RunWhole();

  Scheduler* scheduler_ = nullptr;
  bool cached_ = false;
  std::string reason_;
  int64_t context_ = 0, vocabulary_ = 0;
  std::unique_ptr<Plan> plan_;
  std::vector<int32_t> window_;  // what was read and is not forgotten
  size_t kept_ = 0;              // of these, those whose keys are kept
  std::vector<int32_t> tokens_;  // the plan's input
  int32_t position_ = 0;
};

// The network of `product` as for prediction, its logits the only output.
absl::StatusOr<Graph> LanguageNetwork(const Product& product);

struct SamplingOptions {
  // Divides the logits; 0 takes the likeliest token always.
  double temperature = 1;
  // Only so many of the likeliest tokens may come; 0: all.
  int64_t top_k = 0;
  uint64_t seed = 1;
};

// A token by its probability; the `step`-th of the seed's stream.
int32_t SampleToken(absl::Span<const float> logits,
                    const SamplingOptions& options, uint64_t step);

// `count` tokens that follow `prompt`, which has at least one.
absl::StatusOr<std::vector<int32_t>> Continue(
    const std::vector<int32_t>& prompt, int64_t count,
    const SamplingOptions& options, LanguageModel* model);

}  // namespace tamer

#endif  // TAMER_CORE_SAMPLING_LANGUAGE_H_
