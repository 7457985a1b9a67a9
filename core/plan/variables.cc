#include "core/plan/variables.h"

#include <cstring>

#include "core/plan/initialize.h"

namespace tamer {

absl::StatusOr<Tensor> Variables::Add(const std::string& name,
                                      const TensorType& type) {
  if (tensors_.count(name) > 0) {
    return absl::AlreadyExistsError(
        absl::StrCat("variable \"", name, "\" exists"));
  }
  Tensor tensor;
  tensor.dtype = type.dtype;
  tensor.shape = type.shape;
  buffers_[name] = std::make_shared<Buffer>(Aligned(tensor.bytes()));
  tensor.data = buffers_[name]->data();
  tensors_[name] = tensor;
  return tensor;
}

void Variables::ShareMemory(const std::string& name, const Variables& other) {
  buffers_[name] = other.buffers_.at(name);
  tensors_[name].data = buffers_[name]->data();
}

void Variables::OwnMemory(const std::string& name) {
  Tensor& tensor = tensors_[name];
  auto own = std::make_shared<Buffer>(Aligned(tensor.bytes()));
  std::memcpy(own->data(), tensor.data, tensor.bytes());
  tensor.data = own->data();
  buffers_[name] = std::move(own);
}

void Variables::Remove(const std::string& name) {
  tensors_.erase(name);
  buffers_.erase(name);
}

void Variables::Rename(const std::string& from, const std::string& to) {
  tensors_[to] = tensors_[from];
  buffers_[to] = std::move(buffers_[from]);
  Remove(from);
}

const Tensor* Variables::Find(const std::string& name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

absl::Status Variables::AddMissing(const Graph& graph, uint64_t seed) {
  for (ValueId id : graph.variables()) {
    const Value& value = graph.value(id);
    const Tensor* present = Find(value.name);
    if (present == nullptr) {
      TAMER_ASSIGN_OR_RETURN(const Tensor tensor, Add(value.name, value.type));
      TAMER_RETURN_IF_ERROR(Initialize(graph.variable_spec(id).initializer,
                                       seed, value.name, tensor));
      continue;
    }
    const TensorType seen{present->dtype, present->shape};
    if (seen != value.type) {
      return Invalid("parameter \"", value.name, "\" is ", seen.ToString(),
                     ", but the network needs ", value.type.ToString());
    }
  }
  return absl::OkStatus();
}

}  // namespace tamer
