#ifndef TAMER_CORE_BASE_STATUS_H_
#define TAMER_CORE_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

// Tamer's errors are absl::Status. Their text says where (file:line, node),
// what rule was broken, and the mend. Exceptions never cross a public boundary.

namespace tamer {

// An error of what the user wrote. The pieces are joined as by absl::StrCat.
template <typename... Pieces>
absl::Status Invalid(const Pieces&... pieces) {
  return absl::InvalidArgumentError(absl::StrCat(pieces...));
}

// `status` with "`where`: " before its text; OK stays OK.
inline absl::Status Annotate(const absl::Status& status,
                             absl::string_view where) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(where, ": ", status.message()));
}

}  // namespace tamer

// Returns from the enclosing function if `expression` is an error.
#define TAMER_RETURN_IF_ERROR(expression)          \
  do {                                             \
    absl::Status tamer_status_ = (expression);     \
    if (!tamer_status_.ok()) return tamer_status_; \
  } while (false)

// Declares or sets `target` from the absl::StatusOr that `expression` gives, or
// returns its error.
#define TAMER_ASSIGN_OR_RETURN(target, expression)                        \
  TAMER_ASSIGN_OR_RETURN_(TAMER_JOIN_(tamer_statusor_, __LINE__), target, \
                          expression)
#define TAMER_JOIN_(a, b) TAMER_JOIN2_(a, b)
#define TAMER_JOIN2_(a, b) a##b
#define TAMER_ASSIGN_OR_RETURN_(holder, target, expression) \
  auto holder = (expression);                               \
  if (!holder.ok()) return holder.status();                 \
  target = std::move(holder).value()

#endif  // TAMER_CORE_BASE_STATUS_H_
