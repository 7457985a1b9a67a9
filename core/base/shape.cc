#include "core/base/shape.h"

#include "absl/strings/str_cat.h"

namespace tamer {

int64_t SizeOf(DType type) {
  switch (type) {
    case DType::kFloat:
    case DType::kInt32:
      return 4;
    case DType::kUint8:
    case DType::kInt8:
      return 1;
  }
  return 0;
}

const char* Name(DType type) {
  switch (type) {
    case DType::kFloat:
      return "FLOAT";
    case DType::kInt32:
      return "INT32";
    case DType::kUint8:
      return "UINT8";
    case DType::kInt8:
      return "INT8";
  }
  return "?";
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int64_t dim : dims_) product *= dim;
  return product;
}

int64_t Shape::rows() const {
  int64_t product = 1;
  for (int i = 0; i + 1 < rank(); ++i) product *= dims_[i];
  return product;
}

bool Shape::batched() const {
  for (int64_t dim : dims_) {
    if (dim < 0) return true;
  }
  return false;
}

Shape Shape::Bind(int64_t batch) const {
  Shape bound = *this;
  for (int64_t& dim : bound.dims_) {
    if (dim < 0) dim = -dim * batch;
  }
  return bound;
}

std::string Shape::ToString() const {
  std::string text = "[";
  for (int i = 0; i < rank(); ++i) {
    if (i > 0) text += ", ";
    if (dims_[i] == kBatch) {
      text += "B";
    } else if (dims_[i] < 0) {
      absl::StrAppend(&text, -dims_[i], "B");
    } else {
      absl::StrAppend(&text, dims_[i]);
    }
  }
  return text + "]";
}

std::string TensorType::ToString() const {
  return absl::StrCat(Name(dtype), " ", shape.ToString());
}

}  // namespace tamer
