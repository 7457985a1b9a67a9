// What bfloat16 needs and doesn't need.

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/passes/fixture.h"

namespace tamer {
namespace {

// Bfloat16 has float's exponents. Gradients 2^-80 times as large (1e-24; half
// precision ends at 6e-8) give the same bits, so nothing needs scaling.
TEST_F(PassesTest, TinyGradientsTrainAlikeInBfloat16) {
  if (!__builtin_cpu_supports("avx512bf16")) GTEST_SKIP() << "no AVX-512 BF16";
  constexpr int kBatch = 64, kWide = 256, kSteps = 30;
  std::vector<float> x(kBatch * kWide), t(kBatch * 8), small(t.size());
  FillGaussian(1, 0, static_cast<int64_t>(x.size()), x.data());
  FillGaussian(2, 0, static_cast<int64_t>(t.size()), t.data());
  const auto train = [&](int exponent, Precision precision,
                         std::vector<double>* losses) {
    const float scale = std::ldexp(1.0f, -exponent);
    for (size_t i = 0; i < t.size(); ++i) small[i] = t[i] * scale;
    const Graph network = Parse(absl::StrCat(
        R"(input { name: "x" shape: [256] }
           node { name: "a" input: "x" op { [op/Dense] { units: 256 activation: TANH } } }
           node { name: "b" input: "a" op { [op/Dense] { units: 256 activation: TANH } } }
           node { name: "c" input: "b" op { [op/Dense] { units: 8 } } }
           node { name: "y" input: "c" op { [op/Scale] { factor: )",
        absl::StrFormat("%.9g", scale), " } } } output: \"y\""));
    const auto graph = Finetune(network, Loss("MeanSquaredError"),
                                Proto<SolverDef>("sgd { learning_rate: 1 }"));
    EXPECT_TRUE(graph.ok()) << graph.status();
    const auto fused = Fuse(*graph, precision);
    Variables variables;
    PlanOptions options;
    options.batch = kBatch;
    auto plan = *Plan::Compile(*fused, options, &variables);
    float rate = 0.2f / scale / scale;
    plan->BindInput(plan->FindInput("x"), x.data());
    plan->BindInput(plan->FindInput("targets"), small.data());
    plan->BindInput(plan->FindInput("learning_rate"), &rate);
    for (int step = 0; step < kSteps; ++step) {
      Run(*plan, step);
      losses->push_back(double{plan->FindOutput("loss").floats()[0]} / scale /
                        scale);
    }
    return Values(variables, "b/weight");
  };
  std::vector<double> exact, plain, tiny;
  const auto in_fp32 = train(0, FP32, &exact);
  const auto in_bf16 = train(0, BF16, &plain);
  EXPECT_EQ(train(40, BF16, &tiny), in_bf16);
  EXPECT_EQ(tiny, plain);
  EXPECT_NE(in_bf16, in_fp32);  // it was rounded
  EXPECT_LT(exact.back(), 0.3 * exact.front());
  EXPECT_NEAR(tiny.back(), exact.back(), 0.03 * exact.back());
}

}  // namespace
}  // namespace tamer
