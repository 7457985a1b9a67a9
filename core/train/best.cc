#include "core/train/best.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "core/passes/accumulate.h"
#include "core/train/executor.h"

namespace tamer {
namespace {

constexpr char kBest[] = "best/";

// What waits for an update's other minibatches.
bool IsAccumulated(const std::string& name) {
  return absl::StartsWith(name, kAccumulated) || name == kAccumulatedSamples;
}

}  // namespace

void KeepBest(Variables* variables) {
  std::vector<std::pair<std::string, Tensor>> all(variables->all().begin(),
                                                  variables->all().end());
  for (const auto& entry : all) {
    if (absl::StartsWith(entry.first, kBest)) continue;
    if (IsAccumulated(entry.first)) continue;
    const std::string name = kBest + entry.first;
    const Tensor* best = variables->Find(name);
    Tensor copy = best != nullptr ? *best : Tensor();
    if (best == nullptr) {
      copy = *variables->Add(name, {entry.second.dtype, entry.second.shape});
    }
    std::memcpy(copy.data, entry.second.data, entry.second.bytes());
  }
}

void TakeBest(Variables* variables) {
  std::vector<std::string> kept;
  for (const auto& entry : variables->all()) {
    if (!absl::StartsWith(entry.first, kBest)) continue;
    const Tensor* own = variables->Find(entry.first.substr(strlen(kBest)));
    std::memcpy(own->data, entry.second.data, own->bytes());
    kept.push_back(entry.first);
  }
  for (const std::string& name : kept) variables->Remove(name);
}

void ForgetAccumulated(Variables* variables) {
  std::vector<std::string> names;
  for (const auto& entry : variables->all()) {
    if (IsAccumulated(entry.first)) names.push_back(entry.first);
  }
  for (const std::string& name : names) variables->Remove(name);
}

}  // namespace tamer
