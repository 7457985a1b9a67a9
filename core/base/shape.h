#ifndef TAMER_CORE_BASE_SHAPE_H_
#define TAMER_CORE_BASE_SHAPE_H_

#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace tamer {

enum class DType { kFloat, kInt32, kUint8, kInt8 };

// Bytes of one element.
int64_t SizeOf(DType type);
// "FLOAT", "INT32", "UINT8", "INT8".
const char* Name(DType type);

// The dimensions of a tensor, outermost first; [] is a scalar.
//
// A graph is shape-checked before its batch size is chosen, so a dimension may
// be a multiple of it: -k stands for k * B. Products stay right: B * 5 is -5.
// At most one dimension of a shape is such a multiple. Bind() puts the number
// in.
class Shape {
 public:
  static constexpr int64_t kBatch = -1;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}

  int rank() const { return static_cast<int>(dims_.size()); }
  int64_t dim(int i) const { return dims_[i]; }
  // The last dimension; 1 for a scalar.
  int64_t back() const { return dims_.empty() ? 1 : dims_.back(); }
  const std::vector<int64_t>& dims() const { return dims_; }
  void set_dim(int i, int64_t size) { dims_[i] = size; }
  void push_back(int64_t size) { dims_.push_back(size); }

  // Number of elements; of a shape with a batch dimension, minus the number of
  // elements for each sample.
  int64_t elements() const;
  // Product of all but the last dimension: rows if seen as a matrix.
  int64_t rows() const;
  // Whether some dimension is a multiple of the batch size.
  bool batched() const;
  // This shape with `batch` put for B.
  Shape Bind(int64_t batch) const;
  // "[B, 784]", "[2B, 10]", "[]".
  std::string ToString() const;

  friend bool operator==(const Shape& a, const Shape& b) {
    return a.dims_ == b.dims_;
  }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    return out << shape.ToString();
  }

 private:
  std::vector<int64_t> dims_;
};

// What is known of a tensor before it has a place in memory.
struct TensorType {
  DType dtype = DType::kFloat;
  Shape shape;

  // "FLOAT [B, 784]".
  std::string ToString() const;
  friend bool operator==(const TensorType& a, const TensorType& b) {
    return a.dtype == b.dtype && a.shape == b.shape;
  }
  friend bool operator!=(const TensorType& a, const TensorType& b) {
    return !(a == b);
  }
};

}  // namespace tamer

#endif  // TAMER_CORE_BASE_SHAPE_H_
