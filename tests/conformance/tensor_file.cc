#include "tests/conformance/tensor_file.h"

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace tamer {

Tensor StoredTensor::view() {
  const bool whole = type.dtype == DType::kInt32;
  return {type.dtype, type.shape,
          whole ? static_cast<void*>(ints.data()) : floats.data()};
}

bool ReadTensorFile(const std::string& path, StoredTensor* tensor) {
  std::ifstream in(path, std::ios::binary);
  std::string line, type;
  if (!std::getline(in, line)) return false;
  std::istringstream words(line);
  words >> type;
  std::vector<int64_t> dims;
  for (int64_t dim; words >> dim;) dims.push_back(dim);
  *tensor = StoredTensor();
  tensor->type.shape = Shape(dims);
  if (type == "INT32") {
    tensor->type.dtype = DType::kInt32;
    tensor->ints.resize(tensor->type.shape.elements());
  } else {
    tensor->floats.resize(tensor->type.shape.elements());
  }
  const Tensor view = tensor->view();
  in.read(static_cast<char*>(view.data), view.bytes());
  return in.gcount() == view.bytes();
}

void WriteTensorFile(const std::string& path, const Tensor& tensor) {
  std::ofstream out(path, std::ios::binary);
  out << Name(tensor.dtype);
  for (int64_t dim : tensor.shape.dims()) out << " " << dim;
  out << "\n";
  out.write(static_cast<const char*>(tensor.data), tensor.bytes());
}

std::vector<StoredTensor> ReadTensorFiles(const std::string& prefix) {
  std::vector<StoredTensor> tensors;
  StoredTensor tensor;
  while (ReadTensorFile(absl::StrCat(prefix, tensors.size()), &tensor)) {
    tensors.push_back(tensor);
  }
  return tensors;
}

}  // namespace tamer
