#ifndef TAMER_CORE_OP_EXTENSION_H_
#define TAMER_CORE_OP_EXTENSION_H_

#include <memory>
#include <string>

#include "google/protobuf/message.h"

namespace tamer {

// Something other than an op that text names together with its parameters:
// `[reader/Digits] { file: "digits.bin" }` is the extension "Digits" of kind
// "reader". Stateless, so usable from many threads; an OpRegistry owns it. Who
// uses a kind of extension defines what it can do, as a derived class.
class Extension {
 public:
  virtual ~Extension() = default;

  // "reader".
  virtual const std::string& kind() const = 0;
  // "Digits", also the schema's name.
  virtual const std::string& name() const = 0;
  virtual const google::protobuf::Descriptor& schema() const = 0;
  // A new parameter message with default values.
  virtual std::unique_ptr<google::protobuf::Message> NewParams() const = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_OP_EXTENSION_H_
