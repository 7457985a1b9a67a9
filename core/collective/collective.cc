#include "core/collective/collective.h"

namespace tamer {

const std::string& CollectiveTransport::Kind() {
  static const auto* kind = new std::string("collective");
  return *kind;
}

}  // namespace tamer
