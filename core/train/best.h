#ifndef TAMER_CORE_TRAIN_BEST_H_
#define TAMER_CORE_TRAIN_BEST_H_

#include "core/plan/variables.h"

namespace tamer {

// The best epoch's values, kept beside the running ones for early stopping;
// they are variables, so that rolling checkpoints hold them too.

// Copies all variables; accumulated gradients are left out.
void KeepBest(Variables* variables);

// Puts the kept values back in their places, and forgets them.
void TakeBest(Variables* variables);

// Removes accumulated gradients, which no product holds.
void ForgetAccumulated(Variables* variables);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_BEST_H_
