#ifndef TAMER_CORE_BASE_VERSION_H_
#define TAMER_CORE_BASE_VERSION_H_

namespace tamer {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace tamer

#endif  // TAMER_CORE_BASE_VERSION_H_
