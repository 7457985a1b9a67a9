#ifndef TAMER_CORE_BASE_SUGGEST_H_
#define TAMER_CORE_BASE_SUGGEST_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tamer {

// `; did you mean "X"?` with the candidate X nearest to `name` by edit distance
// (case ignored), or "" if none is near enough to be a likely slip.
std::string DidYouMean(absl::string_view name,
                       const std::vector<std::string>& candidates);

}  // namespace tamer

#endif  // TAMER_CORE_BASE_SUGGEST_H_
