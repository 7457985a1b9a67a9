#include "core/op/layout.h"

#include <algorithm>

namespace tamer {

std::unique_ptr<OpParams> CopyOf(const OpParams& params) {
  std::unique_ptr<OpParams> copy(params.New());
  copy->CopyFrom(params);
  return copy;
}

std::unique_ptr<OpParams> WithChannelsLast(const OpParams& params) {
  const auto* field = params.GetDescriptor()->FindFieldByName("channels_last");
  if (field == nullptr || field->is_repeated() ||
      field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_BOOL ||
      params.GetReflection()->GetBool(params, field)) {
    return nullptr;
  }
  std::unique_ptr<OpParams> copy = CopyOf(params);
  copy->GetReflection()->SetBool(copy.get(), field, true);
  return copy;
}

int AxisWithChannelsLast(int axis, int rank) {
  if (axis < 0) axis += rank;
  return axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1;
}

bool IsImage(const TensorType& type) {
  return type.shape.rank() >= 3 && type.shape.dim(0) < 0 &&
         type.shape.rank() <= 5;
}

Shape ToChannelsLast(const Shape& shape) {
  std::vector<int64_t> dims = shape.dims();
  std::rotate(dims.begin() + 1, dims.begin() + 2, dims.end());
  return Shape(std::move(dims));
}

Shape ToChannelsFirst(const Shape& shape) {
  std::vector<int64_t> dims = shape.dims();
  std::rotate(dims.begin() + 1, dims.end() - 1, dims.end());
  return Shape(std::move(dims));
}

}  // namespace tamer
