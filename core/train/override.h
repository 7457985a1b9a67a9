#ifndef TAMER_CORE_TRAIN_OVERRIDE_H_
#define TAMER_CORE_TRAIN_OVERRIDE_H_

#include <string>

#include "core/base/status.h"
#include "google/protobuf/message.h"

namespace tamer {

// Sets one field of a message as `--set path=value` asks:
// "batch_size=20", "stage.digits.finetune.epochs=5" (an element of a repeated
// field by its `name` or `node`), "stage.0.solver.nesterov.learning_rate=0.01"
// (by index). Only fields of one value can be set. An unknown field gets a
// suggestion; on an error the message is unchanged.
absl::Status ApplyOverride(const std::string& assignment,
                           google::protobuf::Message* message);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_OVERRIDE_H_
