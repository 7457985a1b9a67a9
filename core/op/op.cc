#include "core/op/op.h"

#include "core/op/gradient.h"
#include "core/op/layout.h"

namespace tamer {

GradientBuilder::~GradientBuilder() = default;

absl::Status Op::Gradient(GradientBuilder&) const {
  return absl::UnimplementedError(absl::StrCat(name(), " has no gradient"));
}

std::vector<int> Op::Mutates(const OpParams&) const { return {}; }

int Op::InPlaceInput(const OpParams&, int) const { return -1; }

std::unique_ptr<OpParams> Op::AtInference(const OpParams&) const {
  return nullptr;
}

std::unique_ptr<OpParams> Op::ChannelsLast(const OpParams& params, int) const {
  return WithChannelsLast(params);
}

double Op::Flops(const KernelSpec& spec) const {
  double elements = 0;
  for (const TensorType& output : spec.outputs) {
    elements += static_cast<double>(output.shape.elements());
  }
  return elements;
}

}  // namespace tamer
