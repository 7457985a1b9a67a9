#ifndef TAMER_OPS_INTERNAL_ROWS_MATMUL_H_
#define TAMER_OPS_INTERNAL_ROWS_MATMUL_H_

#include <memory>

#include "ops/internal/matmul.h"

namespace tamer {

// MakeMatmul's kernel for many rows of A, used as it lies: B is packed anew by
// each thread in each run, and A's rows are multiplied in blocks that stay in a
// core's cache until all that follows the product is done to them. With
// `keep_argument` output 1 gets the sum before the activation. Null if this
// machine or shape is none for it.
std::unique_ptr<Kernel> MakeRowsMatmul(const MatmulShape& shape,
                                       bool keep_argument);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_ROWS_MATMUL_H_
