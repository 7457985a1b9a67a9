#ifndef TAMER_OPS_INTERNAL_FAMILY_H_
#define TAMER_OPS_INTERNAL_FAMILY_H_

#include <cstring>
#include <memory>
#include <utility>

#include "core/op/registry.h"

namespace tamer {

template <typename... Ops>
absl::Status RegisterAll(OpRegistry& registry) {
  absl::Status status;
  const auto add = [&](std::unique_ptr<Op> op) {
    if (status.ok()) status = registry.Register(std::move(op));
  };
  (add(std::make_unique<Ops>()), ...);
  return status;
}

// A kernel that is a function: most loops need no class of their own. `run` is
// called as Kernel::Run; what it needs it captures.
template <typename Function>
class FunctionKernel : public Kernel {
 public:
  FunctionKernel(Function run, int64_t scratch_bytes)
      : run_(std::move(run)), scratch_bytes_(scratch_bytes) {}
  absl::Status Run(const KernelArgs& args) override { return run_(args); }
  int64_t scratch_bytes() const override { return scratch_bytes_; }

 private:
  Function run_;
  int64_t scratch_bytes_;
};

template <typename Function>
std::unique_ptr<Kernel> MakeKernel(Function run, int64_t scratch_bytes = 0) {
  return std::make_unique<FunctionKernel<Function>>(std::move(run),
                                                    scratch_bytes);
}

// Copies input 0 to output 0, unless both stand in the same memory.
inline std::unique_ptr<Kernel> MakeCopy() {
  return MakeKernel([](const KernelArgs& args) {
    const Tensor& x = args.inputs[0];
    if (x.data != args.outputs[0].data) {
      std::memcpy(args.outputs[0].data, x.data, x.bytes());
    }
    return absl::OkStatus();
  });
}

}  // namespace tamer

// In file FAMILY.cc, outside any anonymous namespace: what FAMILY offers.
//   TAMER_OP_FAMILY(dense, DenseOp, AffineOp)
#define TAMER_OP_FAMILY(family, ...)                           \
  absl::Status RegisterFamily_##family(OpRegistry& registry);  \
  absl::Status RegisterFamily_##family(OpRegistry& registry) { \
    return RegisterAll<__VA_ARGS__>(registry);                 \
  }

#endif  // TAMER_OPS_INTERNAL_FAMILY_H_
