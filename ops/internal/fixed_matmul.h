#ifndef TAMER_OPS_INTERNAL_FIXED_MATMUL_H_
#define TAMER_OPS_INTERNAL_FIXED_MATMUL_H_

#include <memory>

#include "ops/internal/matmul.h"

namespace tamer {

// MakeMatmul's kernel for a B that stays as it is from the first run on, used
// as it lies, without `slope_of`; the activation must be one of
// ActivatesInSum(). B is packed once, each thread's columns one behind the
// other, so that a single sample takes no longer than reading them does. Null
// if this machine or shape is none for it.
std::unique_ptr<Kernel> MakeFixedMatmul(const MatmulShape& shape);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_FIXED_MATMUL_H_
