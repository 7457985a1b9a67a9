#ifndef TAMER_OPS_INTERNAL_UPDATE_INPUTS_H_
#define TAMER_OPS_INTERNAL_UPDATE_INPUTS_H_

#include <vector>

#include "ops/internal/checks.h"
#include "ops/internal/tile_update.h"
#include "proto/ops/update.pb.h"

// What all update rules take and check alike.

namespace tamer {

// Where an update's inputs are: parameter, gradient or its products' factors,
// learning rate[, momentum], then the rule's state.
struct Slots {
  Slots(const op::UpdateSettings& settings, bool has_momentum)
      : products(settings.product_size()),
        row_sums(products > 0 && settings.product(0).row_sum()),
        one_hot(products > 0 && settings.product(0).one_hot()),
        factors(row_sums ? 1 : 2),
        rate(products > 0 ? 1 + factors * products : 2),
        momentum(has_momentum ? rate + 1 : -1),
        state(rate + (has_momentum ? 2 : 1)) {}

  int products;
  bool row_sums;  // a vector's
  bool one_hot;   // an embedding's
  int factors;    // inputs a product
  int rate, momentum, state;

  // The parameter, and `states` of state.
  std::vector<int> Mutated(int states) const {
    std::vector<int> indices = {0};
    for (int i = 0; i < states; ++i) indices.push_back(state + i);
    return indices;
  }
};

// Parameter, gradient or factors, and the scalars, as Slots says.
absl::Status CheckUpdate(Types inputs, bool has_momentum,
                         const op::UpdateSettings& settings);

// The update's own state, shaped as the parameter.
VariableSpec State(const char* name, const TensorType& type);

// What an update's kernel needs of its settings and shapes.
struct Common {
  int64_t n;
  float multiplier, decay;
  float max_norm;
  int64_t columns;
  int rate, momentum, state;  // inputs

  // What LimitNorms needs.
  int64_t scratch_bytes() const {
    return max_norm > 0 ? columns * static_cast<int64_t>(sizeof(float)) : 0;
  }
  float Rate(const KernelArgs& args) const {
    return args.inputs[rate].floats()[0] * multiplier;
  }
  float Momentum(const KernelArgs& args) const {
    return args.inputs[momentum].floats()[0];
  }
  UpdatedMatrix Matrix(const KernelArgs& args, int states) const {
    UpdatedMatrix matrix;
    matrix.parameter = args.inputs[0].floats();
    for (int i = 0; i < states; ++i) {
      matrix.state[i] = args.inputs[state + i].floats();
    }
    return matrix;
  }
};

Common CommonOf(const KernelSpec& spec, const op::UpdateSettings& settings,
                bool has_momentum);

// Applies max_norm, if there is one, after the update.
void LimitNorms(const Common& common, const KernelArgs& args);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_UPDATE_INPUTS_H_
