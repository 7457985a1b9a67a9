#ifndef TAMER_CORE_PLAN_INITIALIZE_H_
#define TAMER_CORE_PLAN_INITIALIZE_H_

#include <string>

#include "core/base/status.h"
#include "core/base/tensor.h"
#include "proto/initializer.pb.h"

namespace tamer {

// Fills `tensor` as `initializer` says, from the random stream (seed, "init/" +
// name). Fans are those of a [in, out] matrix; of [..., in, out] the leading
// dimensions multiply both; a vector has its length for both. Tensors of other
// types than FLOAT can only be zero.
absl::Status Initialize(const Initializer& initializer, uint64_t seed,
                        const std::string& name, const Tensor& tensor);

}  // namespace tamer

#endif  // TAMER_CORE_PLAN_INITIALIZE_H_
