#ifndef TAMER_OPS_INTERNAL_FIXED_ROW_H_
#define TAMER_OPS_INTERNAL_FIXED_ROW_H_

#include <memory>

#include "ops/internal/matmul.h"

namespace tamer {

// MakeFixedMatmul's kernel for a single sample (m() is 1), which takes as long
// as B's columns take to come from the caches: tiles are one row high and as
// wide as registers allow. Sums are added up in the order of any other
// minibatch's, so they are the same bits. On one thread if `alone`. The machine
// must have tiles for the precision.
std::unique_ptr<Kernel> MakeFixedRow(const MatmulShape& shape, bool alone);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_FIXED_ROW_H_
