#ifndef TAMER_TESTS_PASSES_FIXTURE_H_
#define TAMER_TESTS_PASSES_FIXTURE_H_

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

// Small networks and what tests of passes do with them.

namespace tamer {

template <typename Message>
Message Proto(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

inline FinetuneDef Loss(const std::string& name, const std::string& rest = "") {
  FinetuneDef finetune = Proto<FinetuneDef>(rest);
  finetune.mutable_loss()->set_type_url("op/" + name);
  return finetune;
}

inline constexpr char kNetwork[] = R"(
  input { name: "x" shape: [6] }
  node { name: "h" input: "x" op { [op/Dense] { units: 5 activation: SIGMOID } } }
  node { name: "g" input: "h" op { [op/Dense] { units: 5 activation: TANH } } }
  node { name: "sum" input: "h" input: "g" op { [op/Add] {} } }
  node { name: "y" input: "sum" op { [op/Dense] { units: 3 } } }
  output: "y")";

class PassesTest : public ::testing::Test {
 protected:
  PassesTest() : scheduler_(ThreadOptions()) {
    EXPECT_TRUE(RegisterBuiltinOps(registry_).ok());
    FillUniform(9, 0, 160, x_);
    for (int i = 0; i < 10; ++i) labels_[i] = i % 3;
    for (int i = 0; i < 60; ++i) tokens_[i] = (i * i) % 9 - (i % 11 == 0);
  }

  Graph Parse(const std::string& text) {
    auto graph = ParseGraph(text, "net", &registry_);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *std::move(graph);
  }

  std::unique_ptr<Plan> Compile(const absl::StatusOr<Graph>& graph,
                                Variables* variables, uint64_t seed = 1) {
    EXPECT_TRUE(graph.ok()) << graph.status();
    PlanOptions options;
    options.seed = seed;
    auto plan = Plan::Compile(*graph, options, variables);
    EXPECT_TRUE(plan.ok()) << plan.status();
    const auto bind = [&](const char* name, const void* data) {
      const int input = (*plan)->FindInput(name);
      if (input >= 0) (*plan)->BindInput(input, data);
    };
    bind("x", x_);
    bind("tokens", tokens_);
    bind("labels", labels_);
    bind("learning_rate", &rate_);
    bind("momentum", &momentum_);
    return *std::move(plan);
  }

  void Run(Plan& plan, uint64_t step = 0) {
    const absl::Status status = scheduler_.Run(plan, step);
    ASSERT_TRUE(status.ok()) << status;
  }

  static std::vector<float> Values(const Variables& variables,
                                   const std::string& name) {
    const Tensor* tensor = variables.Find(name);
    EXPECT_NE(tensor, nullptr) << name;
    return std::vector<float>(tensor->floats(),
                              tensor->floats() + tensor->elements());
  }

  OpRegistry registry_;
  Scheduler scheduler_;
  float x_[160];        // up to 16 numbers a sample
  int32_t tokens_[60];  // six a sample, -1 to 8
  int32_t labels_[10];
  float rate_ = 0.1f, momentum_ = 0;
};

// Contrastive divergence by loops in double, with the sampler's own stream.
struct Rbm {
  int visible = 6, hidden = 5;
  std::vector<double> w, b,
      c;  // weight [visible, hidden], hidden, visible bias

  static double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
  std::vector<double> Up(const std::vector<double>& v) const {
    std::vector<double> h(hidden);
    for (int j = 0; j < hidden; ++j) {
      double sum = b[j];
      for (int i = 0; i < visible; ++i) sum += v[i] * w[i * hidden + j];
      h[j] = Sigmoid(sum);
    }
    return h;
  }
  std::vector<double> Down(const std::vector<double>& h, bool linear) const {
    std::vector<double> v(visible);
    for (int i = 0; i < visible; ++i) {
      double sum = c[i];
      for (int j = 0; j < hidden; ++j) sum += h[j] * w[i * hidden + j];
      v[i] = linear ? sum : Sigmoid(sum);
    }
    return v;
  }
};

}  // namespace tamer

#endif  // TAMER_TESTS_PASSES_FIXTURE_H_
