#include <omp.h>

#include "core/base/cpu.h"
#include "gtest/gtest.h"
#include "ops/internal/matmul.h"
#include "ops/internal/testing.h"

namespace tamer {
namespace {

// Answers of one kernel to sample after sample.
class Prediction {
 public:
  Prediction(const MatmulShape& shape, const Value& weight, const Value& bias)
      : shape_(shape), weight_(weight), bias_(bias) {
    auto kernel = MakeMatmul(shape, /*keep_argument=*/false);
    EXPECT_TRUE(kernel.ok()) << kernel.status();
    kernel_ = *std::move(kernel);
    scratch_ = Buffer(kernel_->scratch_bytes());
  }

  std::vector<float> Run(Value samples) {
    Value answer = Random({shape_.m(), shape_.n()}, 0);
    const std::vector<Tensor> inputs = {samples.view(), weight_.view(),
                                        bias_.view()};
    std::vector<Tensor> outputs = {answer.view()};
    KernelArgs args;
    args.inputs = inputs;
    args.outputs = absl::MakeSpan(outputs);
    args.scratch = scratch_.data();
    const absl::Status status = kernel_->Run(args);
    EXPECT_TRUE(status.ok()) << status;
    return answer.floats;
  }

 private:
  const MatmulShape shape_;
  Value weight_, bias_;
  std::unique_ptr<Kernel> kernel_;
  Buffer scratch_;
};

// How weights are laid out is of the first sample's choosing, of the number of
// threads and of what fits a core's cache; no answer is.
TEST(FixedRowTest, AnySampleMayBeTheFirst) {
  const int before = omp_get_max_threads();
  for (const Precision precision : {FP32, BF16}) {
    if (precision == BF16 && !CpuHasBf16()) continue;
    for (const int units : {1, 17, 250, 600, 1800}) {
      MatmulShape shape;
      shape.a_columns = shape.b_rows = 301;
      shape.b_columns = units;
      shape.bias = shape.fixed_b = true;
      shape.activation = op::RELU;
      shape.precision = precision;
      const Value weight = Random({301, units}, 2, -0.1, 0.1);
      const Value bias = Random({units}, 3);
      const Value full = Random({1, 301}, 1), sparse = WithZeros(full);
      Value both = Random({2, 301}, 1);
      std::copy(full.floats.begin(), full.floats.end(), both.floats.begin());
      std::copy(sparse.floats.begin(), sparse.floats.end(),
                both.floats.begin() + 301);
      shape.a_rows = 2;
      std::vector<float> of_full = Prediction(shape, weight, bias).Run(both);
      const std::vector<float> of_sparse(of_full.begin() + units,
                                         of_full.end());
      of_full.resize(units);
      shape.a_rows = 1;
      for (const int threads : {1, 2, 3}) {
        SCOPED_TRACE(testing::Message() << Precision_Name(precision) << " "
                                        << units << " " << threads);
        omp_set_num_threads(threads);
        Prediction full_first(shape, weight, bias);
        Prediction sparse_first(shape, weight, bias);
        EXPECT_EQ(full_first.Run(full), of_full);
        EXPECT_EQ(sparse_first.Run(sparse), of_sparse);
        EXPECT_EQ(full_first.Run(sparse), of_sparse);
        EXPECT_EQ(sparse_first.Run(full), of_full);
        EXPECT_EQ(full_first.Run(full), of_full);
      }
      omp_set_num_threads(before);
    }
  }
}

}  // namespace
}  // namespace tamer
