#ifndef TAMER_CORE_PARALLEL_SHARE_H_
#define TAMER_CORE_PARALLEL_SHARE_H_

#include <map>
#include <string>
#include <vector>

#include "core/collective/collective.h"
#include "core/plan/variables.h"

namespace tamer {

// What workers tell one another beside averages. All workers call the same
// function at once; `group` may be null for one that works alone.

// The first worker's bytes, to all.
absl::Status ShareBytes(Collective* group, std::string* bytes);

// What came of something that the first worker did for all: the others get its
// error, "worker 0: …".
absl::Status ShareStatus(Collective* group, const absl::Status& status);

// The first worker's variables, to all: the others' are replaced.
absl::Status ShareVariables(Collective* group, Variables* variables);

// Variables in which workers differ, `names`, to the first worker: it gets
// "worker/R/NAME" of each other worker R, for a checkpoint.
absl::Status GatherOwn(Collective* group, const std::vector<std::string>& names,
                       Variables* variables);

// The way back, after ShareVariables: worker R takes what GatherOwn called
// "worker/R/NAME" as its NAME, or, if there were fewer workers then, another's;
// and all forget the rest.
void TakeOwn(Collective* group, Variables* variables);
// Forgets what GatherOwn added.
void ForgetOwn(Variables* variables);

// An error unless every worker gave the same value for each key, as "recipe" or
// "version"; it names who differs from the first worker, and in what.
absl::Status CheckAlike(Collective* group,
                        const std::map<std::string, std::string>& values);

}  // namespace tamer

#endif  // TAMER_CORE_PARALLEL_SHARE_H_
