#ifndef TAMER_PLUGINS_HOST_SERVICES_H_
#define TAMER_PLUGINS_HOST_SERVICES_H_

#include <deque>
#include <string>
#include <vector>

#include "core/op/gradient.h"
#include "core/op/op.h"
#include "core/op/registry.h"
#include "plugins/tamer_plugin.h"

// What the opaque handles of a TamerInference and a TamerGradient are.

struct TamerInference {
  absl::Span<const tamer::TensorType> inputs;
  std::vector<TamerTensor> views;  // of them
  TamerError* error = nullptr;
  tamer::Inference result;
  std::vector<uint32_t> variable_flags;
};

struct TamerGradient {
  tamer::GradientBuilder* builder = nullptr;
  const tamer::OpRegistry* registry = nullptr;
  TamerError* error = nullptr;
  int outputs = 0;
  std::deque<std::string> names{};  // what was returned to the plugin
};

namespace tamer {

// The table of services that every plugin gets.
const TamerHost& HostServices();

}  // namespace tamer

#endif  // TAMER_PLUGINS_HOST_SERVICES_H_
