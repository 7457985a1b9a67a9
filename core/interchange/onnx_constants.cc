// Constants of a model, and what it computes of these alone: mostly shapes.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/interchange/onnx_read_tables.h"

namespace tamer {
namespace {

// The numbers of raw bytes or of a repeated field.
template <typename From, typename Field, typename To>
bool Copy(const onnx::TensorProto& tensor, const Field& field, int64_t count,
          std::vector<To>* to) {
  if (tensor.has_raw_data()) {
    const std::string& raw = tensor.raw_data();
    if (raw.size() != count * sizeof(From)) return false;
    to->resize(count);
    for (int64_t i = 0; i < count; ++i) {
      From number;
      std::memcpy(&number, raw.data() + i * sizeof(From), sizeof(From));
      (*to)[i] = static_cast<To>(number);
    }
    return true;
  }
  if (field.size() != count) return false;
  to->assign(field.begin(), field.end());
  return true;
}

using Ints = std::vector<int64_t>;

OnnxConstant Whole(Ints dims, Ints values) {
  OnnxConstant constant;
  constant.whole = true;
  constant.dims = std::move(dims);
  constant.ints = std::move(values);
  return constant;
}

bool AllWhole(OnnxReader& r) {
  for (int i = 0; i < r.node().input_size(); ++i) {
    if (!r.Has(i)) continue;
    const OnnxConstant* constant = r.Constant(i);
    if (constant == nullptr || !constant->whole) return false;
  }
  return r.Has(0);
}

bool FoldShape(OnnxReader& r) {
  Ints sizes;
  const Shape shape = r.Dims(0);
  for (int64_t dim : shape.dims()) {
    sizes.push_back(dim < 0 ? kBatchSize : dim);
  }
  r.Result(Whole({static_cast<int64_t>(sizes.size())}, sizes));
  return true;
}

bool FoldGather(OnnxReader& r) {
  const OnnxConstant& from = *r.Constant(0);
  const OnnxConstant& index = *r.Constant(1);
  if (from.dims.size() != 1) return false;
  Ints picked;
  for (int64_t at : index.ints) {
    if (at < 0) at += from.elements();
    if (at < 0 || at >= from.elements()) return false;
    picked.push_back(from.ints[at]);
  }
  r.Result(Whole(index.dims, picked));
  return true;
}

bool FoldConcat(OnnxReader& r) {
  Ints all;
  for (int i = 0; i < r.node().input_size(); ++i) {
    const OnnxConstant& part = *r.Constant(i);
    all.insert(all.end(), part.ints.begin(), part.ints.end());
  }
  r.Result(Whole({static_cast<int64_t>(all.size())}, all));
  return true;
}

bool FoldSlice(OnnxReader& r) {
  const OnnxConstant& from = *r.Constant(0);
  const Ints starts = r.Ints(1, "starts"), ends = r.Ints(2, "ends");
  if (from.dims.size() != 1 || starts.size() != 1 || ends.size() != 1 ||
      r.Has(4)) {
    return false;
  }
  const int64_t n = from.elements();
  const auto place = [n](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + n : at, 0, n);
  };
  const int64_t begin = place(starts[0]);
  const int64_t end = std::max(begin, place(ends[0]));
  r.Result(Whole({end - begin},
                 {from.ints.begin() + begin, from.ints.begin() + end}));
  return true;
}

// Of numbers alone; the batch's size is none.
bool FoldArithmetic(OnnxReader& r) {
  const OnnxConstant& a = *r.Constant(0);
  const OnnxConstant& b = *r.Constant(1);
  if (a.elements() != 1 || b.elements() != 1 || a.ints[0] == kBatchSize ||
      b.ints[0] == kBatchSize) {
    return false;
  }
  const std::string& op = r.node().op_type();
  int64_t value = 0;
  bool overflow = false;
  if (op == "Add") {
    overflow = __builtin_add_overflow(a.ints[0], b.ints[0], &value);
  } else if (op == "Sub") {
    overflow = __builtin_sub_overflow(a.ints[0], b.ints[0], &value);
  } else if (op == "Mul") {
    overflow = __builtin_mul_overflow(a.ints[0], b.ints[0], &value);
  } else {
    if (b.ints[0] == 0 || b.ints[0] == -1) return false;
    value = a.ints[0] / b.ints[0];
  }
  if (overflow) return false;
  r.Result(Whole(a.dims.size() > b.dims.size() ? a.dims : b.dims, {value}));
  return true;
}

// A constant of any kind with other dimensions.
bool FoldDims(OnnxReader& r) {
  const OnnxConstant* from = r.Constant(0);
  if (from == nullptr || from->zero_row) return false;
  Ints axes = r.Ints(1, "axes");
  Ints dims = from->dims;
  const bool add = r.node().op_type() == "Unsqueeze";
  const auto rank = static_cast<int64_t>(dims.size() + (add ? axes.size() : 0));
  for (int64_t& axis : axes) {
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return false;
  }
  std::sort(axes.begin(), axes.end());
  if (add) {
    for (int64_t axis : axes) dims.insert(dims.begin() + axis, 1);
  } else if (axes.empty()) {
    dims.erase(std::remove(dims.begin(), dims.end(), 1), dims.end());
  } else {
    for (auto it = axes.rbegin(); it != axes.rend(); ++it) {
      if (dims[*it] != 1) return false;
      dims.erase(dims.begin() + *it);
    }
  }
  OnnxConstant result = *from;
  result.dims = dims;
  r.Result(std::move(result));
  return true;
}

// The states that PyTorch begins recurrent layers with, whatever the batch.
bool FoldConstantOfShape(OnnxReader& r) {
  OnnxConstant constant;
  constant.floats = {0};
  if (const auto* value = r.Attribute("value")) {
    auto read = ConstantOf(value->t());
    if (!read.ok() || read->whole || read->elements() != 1) return false;
    constant = *std::move(read);
  }
  constant.dims.clear();
  constant.name = r.node().output(0);
  constant.uniform = true;
  r.Result(std::move(constant));
  return true;
}

// What leaves such a constant as it is.
bool KeepsUniform(const std::string& op) {
  return op == "Slice" || op == "Expand" || op == "Squeeze" ||
         op == "Unsqueeze" || op == "Reshape" || op == "Transpose";
}

bool FoldConstantNode(OnnxReader& r) {
  OnnxConstant constant;
  if (const auto* value = r.Attribute("value")) {
    auto read = ConstantOf(value->t());
    if (!read.ok()) {
      r.Fail(std::string(read.status().message()));
      return true;
    }
    constant = *std::move(read);
  } else if (const auto* real = r.Attribute("value_float")) {
    constant.floats = {real->f()};
  } else if (const auto* number = r.Attribute("value_int")) {
    constant = Whole({}, {number->i()});
  } else if (const auto* numbers = r.Attribute("value_ints")) {
    constant = Whole({numbers->ints_size()},
                     {numbers->ints().begin(), numbers->ints().end()});
  } else {
    r.Fail("it is no number or tensor");
  }
  constant.name = r.node().output(0);
  r.Result(std::move(constant));
  return true;
}

}  // namespace

absl::StatusOr<OnnxConstant> ConstantOf(const onnx::TensorProto& tensor) {
  OnnxConstant constant;
  constant.name = tensor.name();
  int64_t count = 1;
  for (int64_t dim : tensor.dims()) {
    if (dim < 0 || __builtin_mul_overflow(count, dim, &count) ||
        count > (int64_t{1} << 31)) {
      return Invalid("tensor \"", tensor.name(),
                     "\" has impossible dimensions");
    }
    constant.dims.push_back(dim);
  }
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    return Invalid("tensor \"", tensor.name(), "\" stands in another file, ",
                   "which is not read; save the model in one file");
  }
  bool whole = true, good = false;
  switch (tensor.data_type()) {
    case onnx::TensorProto::FLOAT:
      good = Copy<float>(tensor, tensor.float_data(), count, &constant.floats);
      whole = false;
      break;
    case onnx::TensorProto::DOUBLE:
      good =
          Copy<double>(tensor, tensor.double_data(), count, &constant.floats);
      whole = false;
      break;
    case onnx::TensorProto::INT64:
      good = Copy<int64_t>(tensor, tensor.int64_data(), count, &constant.ints);
      break;
    case onnx::TensorProto::INT32:
      good = Copy<int32_t>(tensor, tensor.int32_data(), count, &constant.ints);
      break;
    case onnx::TensorProto::BOOL:
      good = Copy<uint8_t>(tensor, tensor.int32_data(), count, &constant.ints);
      break;
    default:
      return Invalid("tensor \"", tensor.name(), "\" is of ONNX's type ",
                     tensor.data_type(), "; FLOAT, DOUBLE, INT32, INT64 and ",
                     "BOOL are read");
  }
  if (!good) {
    return Invalid("tensor \"", tensor.name(), "\" is damaged: its data are ",
                   "not as long as its dimensions say");
  }
  constant.whole = whole;
  return constant;
}

bool FoldConstants(OnnxReader& r) {
  const std::string& op = r.node().op_type();
  if (op == "Constant") return FoldConstantNode(r);
  if (op == "ConstantOfShape") return FoldConstantOfShape(r);
  if (op == "Shape" && r.Has(0)) return FoldShape(r);
  const OnnxConstant* first = r.Constant(0);
  if (first != nullptr && first->uniform && KeepsUniform(op)) {
    r.Result(r.Value(0));
    return true;
  }
  if (op == "Squeeze" || op == "Unsqueeze") return FoldDims(r);
  if (!AllWhole(r)) return false;
  if (op == "Gather" && r.Has(1)) return FoldGather(r);
  if (op == "Concat") return FoldConcat(r);
  if (op == "Slice") return FoldSlice(r);
  if (op == "Cast" || op == "Identity") {
    r.Result(r.Value(0));
    return true;
  }
  if (op == "Add" || op == "Sub" || op == "Mul" || op == "Div") {
    return r.Has(1) && FoldArithmetic(r);
  }
  return false;
}

}  // namespace tamer
