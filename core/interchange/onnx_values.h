#ifndef TAMER_CORE_INTERCHANGE_ONNX_VALUES_H_
#define TAMER_CORE_INTERCHANGE_ONNX_VALUES_H_

#include <onnx/onnx_pb.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace tamer {

// Numbers that the model holds. Whole ones may be sizes, of which kBatchSize is
// the batch's.
inline constexpr int64_t kBatchSize = -(int64_t{1} << 62);
struct OnnxConstant {
  std::string name;
  std::vector<int64_t> dims;
  bool whole = false;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  // Initializers can be trained, constants can't.
  bool trainable = false;
  // Whether it is one number over and over, in whatever dimensions.
  bool uniform = false;
  // Whether a row of zeros is thought behind the last one.
  bool zero_row = false;

  int64_t elements() const { return whole ? ints.size() : floats.size(); }
};

// What a value of the model is here: a constant, or a value of the graph whose
// dimension view[i] is the model's dimension i (as it is, if empty). A
// transposition costs nothing so until somebody reads it, and steps may stand
// before samples, as in ONNX's recurrent layers.
struct OnnxValue {
  std::string name;
  std::vector<int> view;
  std::shared_ptr<const OnnxConstant> constant;
};

// The numbers of a tensor in a file; FLOAT, DOUBLE or whole ones.
absl::StatusOr<OnnxConstant> ConstantOf(const onnx::TensorProto& tensor);

}  // namespace tamer

#endif  // TAMER_CORE_INTERCHANGE_ONNX_VALUES_H_
