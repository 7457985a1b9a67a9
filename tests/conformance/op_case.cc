#include "tests/conformance/op_case.h"

#include <fstream>
#include <iterator>

#include "google/protobuf/text_format.h"

namespace tamer {

absl::StatusOr<std::unique_ptr<OpParams>> ReadOpCase(
    const std::string& folder, const OpRegistry& registry) {
  std::ifstream text(folder + "/op");
  std::string name;
  std::getline(text, name);
  const std::string rest(std::istreambuf_iterator<char>(text), {});
  const Op* op = registry.Find(name);
  if (op == nullptr) return Invalid("there is no op ", name);
  std::unique_ptr<OpParams> params = op->NewParams();
  if (!google::protobuf::TextFormat::ParseFromString(rest, params.get())) {
    return Invalid(name, " cannot be ", rest);
  }
  return params;
}

}  // namespace tamer
