#ifndef TAMER_CORE_OP_REGISTRY_H_
#define TAMER_CORE_OP_REGISTRY_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/op/op.h"

namespace tamer {

// The ops that a program knows, built-in and from plugins, by name. Filled at
// start-up, then only read: reading is safe from many threads.
class OpRegistry {
 public:
  // Takes the op in; an error if its name is taken.
  absl::Status Register(std::unique_ptr<Op> op);

  // The op called `name`, or null.
  const Op* Find(const std::string& name) const;
  // The op whose parameter message is of this type, or null.
  const Op* FindBySchema(const google::protobuf::Descriptor& schema) const;
  // All names, sorted.
  std::vector<std::string> Names() const;

 private:
  std::map<std::string, std::unique_ptr<Op>> ops_;
};

}  // namespace tamer

#endif  // TAMER_CORE_OP_REGISTRY_H_
