// Gradients of several minibatches before one update, with the kernels of
// update rules: a gradient that is a product is added as it is made.

#include "ops/internal/family.h"
#include "ops/internal/update_kernel.h"
#include "ops/internal/update_op.h"
#include "proto/ops/accumulate.pb.h"

namespace tamer {
namespace {

struct AccumulateRule {
  static constexpr int kStates = 0;
  float share, keep;

  template <typename T>
  TAMER_INLINE void operator()(T& a, const T& g, T&, T&) const {
    a = keep * a + share * g;
  }
  TAMER_VECTORIZED static void Sweep(const AccumulateRule& constants, int64_t n,
                                     float* __restrict a,
                                     const float* __restrict g, float*,
                                     float*) {
    const AccumulateRule rule = constants;
    float none = 0;
    for (int64_t i = 0; i < n; ++i) rule(a[i], g[i], none, none);
  }
};

class AccumulateOp : public UpdateOp<op::Accumulate, true> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(Check(params, inputs));
    const op::UpdateSettings& settings = SettingsOf(params);
    if (settings.weight_decay() != 0 || settings.max_norm() != 0 ||
        settings.learning_rate_multiplier() != 1) {
      return Invalid("weight_decay, max_norm and learning_rate_multiplier ",
                     "belong to the update that follows");
    }
    return Inference();
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Common common = CommonFor(spec);
    return MakeUpdate<AccumulateRule>(
        spec, SettingsOf(*spec.params), common,
        [common](const KernelArgs& args) {
          return AccumulateRule{common.Rate(args), common.Momentum(args)};
        });
  }

 protected:
  int MutatedStates() const override { return 0; }
};

}  // namespace

TAMER_OP_FAMILY(accumulate, AccumulateOp)

}  // namespace tamer
