#ifndef TAMER_OPS_INTERNAL_UPDATE_OP_H_
#define TAMER_OPS_INTERNAL_UPDATE_OP_H_

#include <vector>

#include "ops/internal/family.h"
#include "ops/internal/update_inputs.h"

namespace tamer {

// What all update rules share. With `kTwoScalars` a second one follows the
// learning rate.
template <typename Params, bool kTwoScalars>
class UpdateOp : public TypedOp<Params> {
 public:
  std::vector<int> Mutates(const OpParams& params) const override {
    return SlotsOf(params).Mutated(MutatedStates());
  }
  double Flops(const KernelSpec& spec) const override {
    double depth = 0;
    const Slots slots = SlotsOf(*spec.params);
    const bool sums = slots.row_sums || slots.one_hot;
    for (int i = 0; !sums && i < slots.products; ++i) {
      depth += static_cast<double>(spec.inputs[1 + 2 * i].shape.rows());
    }
    return 2 * depth * static_cast<double>(spec.inputs[0].shape.elements());
  }

 protected:
  // Variables of its own that a run changes.
  virtual int MutatedStates() const = 0;

  static const op::UpdateSettings& SettingsOf(const OpParams& params) {
    return TypedOp<Params>::Typed(params).settings();
  }
  static Slots SlotsOf(const OpParams& params) {
    return Slots(SettingsOf(params), kTwoScalars);
  }
  static absl::Status Check(const OpParams& params, Types inputs) {
    return CheckUpdate(inputs, kTwoScalars, SettingsOf(params));
  }
  static Common CommonFor(const KernelSpec& spec) {
    return CommonOf(spec, SettingsOf(*spec.params), kTwoScalars);
  }
};

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_UPDATE_OP_H_
