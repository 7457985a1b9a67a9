#include "tools/draw/families.h"

#include <map>
#include <string>

#include "absl/strings/strip.h"
#include "google/protobuf/descriptor.h"

namespace tamer {
namespace {

constexpr Family kProducts = {"products", "#d3e5f8", "#3f7fbf"};
constexpr Family kImages = {"convolution, pooling", "#cdeeea", "#2a9187"};
constexpr Family kSequences = {"recurrence, sequences", "#d9ead0", "#5c8f3e"};
constexpr Family kAttention = {"attention, tokens", "#e6dcf5", "#8660b8"};
constexpr Family kActivations = {"activations", "#fde3c8", "#cc7a29"};
constexpr Family kNorms = {"normalization", "#f7efb9", "#a08a12"};
constexpr Family kElementwise = {"elementwise, sums", "#e8e8e8", "#858585"};
constexpr Family kShapes = {"shapes", "#f5f5f5", "#a6a6a6"};
constexpr Family kNoise = {"noise", "#f8dbe9", "#bf5a8c"};
constexpr Family kLosses = {"losses, metrics", "#f9d2cd", "#c9493b"};
constexpr Family kUpdates = {"updates", "#d9d5cc", "#857650"};
constexpr Family kPlugins = {"plugins", "#ffffff", "#444444"};
constexpr Family kBlocks = {"blocks", "#eceff4", "#6b7a90"};

// A few ops that their file's others are no kin of.
const std::map<std::string, const Family*>& ByName() {
  static const auto* names =
      new std::map<std::string, const Family*>{{"Dropout", &kNoise},
                                               {"Sample", &kNoise},
                                               {"Sparsity", &kElementwise},
                                               {"FreeEnergy", &kLosses},
                                               {"Reduce", &kElementwise}};
  return *names;
}

const std::map<std::string, const Family*>& ByFile() {
  static const auto* files = new std::map<std::string, const Family*>{
      {"accumulate", &kUpdates},
      {"activation", &kActivations},
      {"attention", &kAttention},
      {"batch_matmul", &kProducts},
      {"broadcast", &kElementwise},
      {"contrast", &kLosses},
      {"conv", &kImages},
      {"ctc", &kLosses},
      {"dense", &kProducts},
      {"drop_path", &kNoise},
      {"elementwise", &kElementwise},
      {"embedding", &kAttention},
      {"loss", &kLosses},
      {"norm", &kNorms},
      {"patches", &kAttention},
      {"pool", &kImages},
      {"pretrain", &kNoise},
      {"prompt", &kAttention},
      {"quantized", &kProducts},
      {"recurrent", &kSequences},
      {"reorder", &kShapes},
      {"select", &kElementwise},
      {"sequence", &kSequences},
      {"sequence_loss", &kLosses},
      {"shape", &kShapes},
      {"smooth_activation", &kActivations},
      {"tensor", &kShapes},
      {"token_choice", &kAttention},
      {"token_noise", &kNoise},
      {"triplet", &kLosses},
      {"update", &kUpdates},
      {"upsample", &kImages},
      {"views", &kNoise}};
  return *files;
}

}  // namespace

const Family& FamilyOf(const Op& op) {
  const auto name = ByName().find(op.name());
  if (name != ByName().end()) return *name->second;
  absl::string_view file = op.schema().file()->name();
  if (absl::ConsumePrefix(&file, "proto/ops/") &&
      absl::ConsumeSuffix(&file, ".proto")) {
    const auto found = ByFile().find(std::string(file));
    if (found != ByFile().end()) return *found->second;
  }
  return kPlugins;
}

const Family& BlockFamily() { return kBlocks; }

}  // namespace tamer
