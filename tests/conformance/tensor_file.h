#ifndef TAMER_TESTS_CONFORMANCE_TENSOR_FILE_H_
#define TAMER_TESTS_CONFORMANCE_TENSOR_FILE_H_

#include <string>
#include <vector>

#include "core/base/tensor.h"

// Tensors in files that a few lines of any language read: a line ("FLOAT 2 3",
// type and shape) and then the numbers as they lie in memory.

namespace tamer {

struct StoredTensor {
  TensorType type;
  std::vector<float> floats;
  std::vector<int32_t> ints;

  Tensor view();
};

bool ReadTensorFile(const std::string& path, StoredTensor* tensor);
void WriteTensorFile(const std::string& path, const Tensor& tensor);

// Those called `prefix`0, `prefix`1, …
std::vector<StoredTensor> ReadTensorFiles(const std::string& prefix);

}  // namespace tamer

#endif  // TAMER_TESTS_CONFORMANCE_TENSOR_FILE_H_
