#ifndef TAMER_CORE_OP_MAX_NORM_H_
#define TAMER_CORE_OP_MAX_NORM_H_

#include <cstdint>

namespace tamer {

// Scales the columns of p [rows, columns], a unit's incoming weights each, that
// are longer than `most` down to that length (Srivastava et al. 2014). Does
// nothing if `most` is 0. `scratch` holds `columns` floats.
void LimitColumns(float* p, int64_t rows, int64_t columns, float most,
                  float* scratch);

}  // namespace tamer

#endif  // TAMER_CORE_OP_MAX_NORM_H_
