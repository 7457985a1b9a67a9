#ifndef TAMER_CORE_DATA_READER_H_
#define TAMER_CORE_DATA_READER_H_

#include <string>

#include "core/data/dataset.h"
#include "core/op/extension.h"

namespace tamer {

// A data format beyond the built-in ones: `reader { [reader/NAME] { … } }`.
class DataReader : public Extension {
 public:
  static const std::string& Kind();
  const std::string& kind() const final { return Kind(); }

  // Fills `data` with all samples that `params` name; relative file names start
  // from `folder`. Sizes are checked before memory is taken.
  virtual absl::Status Read(const google::protobuf::Message& params,
                            const std::string& folder, Dataset* data) const = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_DATA_READER_H_
