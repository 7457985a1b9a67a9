// Contrastive divergence of a convolution against plain loops in double with
// the sampler's own random numbers.

#include <cmath>

#include "absl/strings/match.h"
#include "core/passes/solver.h"
#include "tests/passes/slopes.h"

namespace tamer {
namespace {

using ConvRbmTest = SlopeTest;
using Doubles = std::vector<double>;

constexpr char kNetwork[] = R"(
  input { name: "x" shape: [1, 4, 4] }
  node { name: "h" input: "x" op { [op/Conv2D] { filters: 2 kernel: 3 activation: SIGMOID } } }
  node { name: "y" input: "h" op { [op/Flatten] {} } }
  output: "y")";

// Two filters of 3 x 3 over one plane of 4 x 4.
struct Filters {
  Doubles w, b, c;

  static double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
  // Calls use(hidden, visible, weight) for each connection.
  template <typename Use>
  static void ForEach(const Use& use) {
    for (int h = 0; h < 8; ++h) {
      for (int k = 0; k < 9; ++k) {
        use(h, (h % 4 / 2 + k / 3) * 4 + h % 2 + k % 3, h / 4 * 9 + k);
      }
    }
  }
  Doubles Up(const Doubles& v) const {
    Doubles h(8);
    for (int i = 0; i < 8; ++i) h[i] = b[i / 4];
    ForEach([&](int i, int j, int k) { h[i] += v[j] * w[k]; });
    for (double& x : h) x = Sigmoid(x);
    return h;
  }
  Doubles Down(const Doubles& h) const {
    Doubles v(16, c[0]);
    ForEach([&](int i, int j, int k) { v[j] += h[i] * w[k]; });
    for (double& x : v) x = Sigmoid(x);
    return v;
  }
};

TEST_F(ConvRbmTest, AStepIsThatOfPlainLoops) {
  for (const int steps : {1, 2}) {
    Variables variables;
    const auto graph = Pretrain(Parse(kNetwork),
                                Proto<PretrainLayer>(absl::StrCat(
                                    "node: 'h' rbm { cd_steps: ", steps, " }")),
                                Proto<SolverDef>("sgd {}"));
    auto plan = Compile(graph, &variables, 5);
    EXPECT_EQ(UpdatedBy(*graph), (std::vector<std::string>{
                                     "h/bias", "h/visible_bias", "h/weight"}));
    Shake(&variables);
    const auto copy = [&](const char* name) {
      const auto values = Values(variables, name);
      return Doubles(values.begin(), values.end());
    };
    const Filters before{copy("h/weight"), copy("h/bias"),
                         copy("h/visible_bias")};
    std::vector<std::vector<float>> uniform;
    for (int step = 1; step <= steps; ++step) {
      uniform.emplace_back(80);
      FillUniform(StreamKey(5, absl::StrCat("rbm/h/sample", step)), 3, 80,
                  uniform.back().data());
    }
    Filters after = before;
    for (int n = 0; n < 10; ++n) {
      const Doubles v0(x_ + n * 16, x_ + n * 16 + 16);
      const Doubles h0 = before.Up(v0);
      Doubles v = v0, h = h0;
      for (int step = 0; step < steps; ++step) {
        Doubles sample(8);
        for (int i = 0; i < 8; ++i) {
          sample[i] = uniform[step][n * 8 + i] < h[i];
        }
        v = before.Down(sample);
        h = before.Up(v);
      }
      Filters::ForEach([&](int i, int j, int k) {
        after.w[k] += rate_ * (v0[j] * h0[i] - v[j] * h[i]) / 10;
      });
      for (int i = 0; i < 8; ++i) {
        after.b[i / 4] += rate_ * (h0[i] - h[i]) / 10;
      }
      for (int j = 0; j < 16; ++j) after.c[0] += rate_ * (v0[j] - v[j]) / 10;
    }
    Run(*plan, 3);
    const auto expect = [&](const char* name, const Doubles& values) {
      const Doubles found = copy(name);
      ASSERT_EQ(found.size(), values.size());
      for (size_t i = 0; i < values.size(); ++i) {
        EXPECT_NEAR(found[i], values[i], 2e-6) << name << " " << i;
      }
    };
    expect("h/weight", after.w);
    expect("h/bias", after.b);
    expect("h/visible_bias", after.c);
  }
}

TEST_F(ConvRbmTest, ItLearnsToRestoreItsInput) {
  for (const char* units : {"visible: BERNOULLI", "visible: GAUSSIAN"}) {
    Variables variables;
    auto plan = Compile(Pretrain(Parse(kNetwork),
                                 Proto<PretrainLayer>(absl::StrCat(
                                     "node: 'h' rbm { ", units, " }")),
                                 Proto<SolverDef>("sgd {}")),
                        &variables);
    rate_ = 0.05f;
    const auto error = [&] {
      return plan->FindOutput("reconstruction_error").floats()[0];
    };
    Run(*plan, 0);
    const float first = error();
    for (int step = 1; step < 300; ++step) Run(*plan, step);
    EXPECT_LT(error(), first) << units;
  }
}

TEST_F(ConvRbmTest, FaultsAreNamed) {
  const auto fault = [&](const char* layer) {
    return std::string(Pretrain(Parse(kNetwork), Proto<PretrainLayer>(layer),
                                Proto<SolverDef>("sgd {}"))
                           .status()
                           .message());
  };
  EXPECT_TRUE(absl::StrContains(fault("node: 'h' rbm { persistent: true }"),
                                "neither persistent chains"));
  EXPECT_TRUE(absl::StrContains(fault("node: 'y' rbm {}"), "it is a Flatten"));
}

}  // namespace
}  // namespace tamer
