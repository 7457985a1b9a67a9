#include "core/plan/plan.h"

#include <chrono>
#include <cmath>
#include <cstdio>

#include "core/base/random.h"
#include "core/plan/initialize.h"
#include "core/plan/memory_planner.h"
#include "gtest/gtest.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

// Ops of this test: sums, copies and variables, in plain loops.
class SumKernel : public Kernel {
 public:
  absl::Status Run(const KernelArgs& args) override {
    for (int64_t i = 0; i < args.outputs[0].elements(); ++i) {
      float sum = 1;
      for (const Tensor& input : args.inputs) sum += input.floats()[i];
      args.outputs[0].floats()[i] = sum;
    }
    return absl::OkStatus();
  }
  int64_t scratch_bytes() const override { return 100; }
};

// One more than the sum of the inputs.
class ToyAdd : public TypedOp<op::Add> {
 public:
  absl::StatusOr<Inference> Infer(
      const OpParams&, absl::Span<const TensorType> inputs) const override {
    Inference result;
    result.outputs.push_back(inputs[0]);
    return result;
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec&) const override {
    return std::make_unique<SumKernel>();
  }
  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

class ToyParameter : public TypedOp<op::Parameter> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  absl::Span<const TensorType>) const override {
    VariableSpec spec;
    spec.type.shape = Shape({Typed(params).shape(0)});
    spec.initializer = Typed(params).init();
    Inference result;
    result.variables.push_back(spec);
    return result;
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec&) const override {
    return absl::InternalError("a parameter is never run");
  }
};

class AssignKernel : public Kernel {
 public:
  absl::Status Run(const KernelArgs& args) override {
    for (int64_t i = 0; i < args.inputs[0].elements(); ++i) {
      args.inputs[0].floats()[i] = args.inputs[1].floats()[i];
    }
    return absl::OkStatus();
  }
};

class ToyAssign : public TypedOp<op::Assign> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  absl::Span<const TensorType>) const override {
    return Inference();
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec&) const override {
    return std::make_unique<AssignKernel>();
  }
  std::vector<int> Mutates(const OpParams&) const override { return {0}; }
};

class PlanTest : public ::testing::Test {
 protected:
  PlanTest() : graph_(&registry_) {
    EXPECT_TRUE(registry_.Register(std::make_unique<ToyAdd>()).ok());
    EXPECT_TRUE(registry_.Register(std::make_unique<ToyParameter>()).ok());
    EXPECT_TRUE(registry_.Register(std::make_unique<ToyAssign>()).ok());
  }

  void Input(const std::string& name, std::vector<int64_t> dims) {
    EXPECT_TRUE(
        graph_.AddInput(name, {DType::kFloat, Shape(std::move(dims))}).ok());
  }
  void Add(const std::string& name, const std::vector<std::string>& inputs) {
    const auto added = graph_.AddNode(name, op::Add(), inputs);
    EXPECT_TRUE(added.ok()) << added.status();
  }
  void Parameter(const std::string& name, float value) {
    op::Parameter parameter;
    parameter.add_shape(4);
    parameter.mutable_init()->mutable_constant()->set_value(value);
    EXPECT_TRUE(graph_.AddNode(name, parameter, {}).ok());
  }
  std::unique_ptr<Plan> Compile(int64_t batch = 4, bool parallel = false) {
    PlanOptions options;
    options.batch = batch;
    options.parallel_branches = parallel;
    auto plan = Plan::Compile(graph_, options, &variables_);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return plan.ok() ? *std::move(plan) : nullptr;
  }
  static void Run(Plan& plan) {
    for (const PlanStep& step : plan.steps()) {
      KernelArgs args;
      args.inputs = step.inputs;
      args.outputs = step.outputs;
      args.scratch = step.scratch;
      ASSERT_TRUE(step.kernel->Run(args).ok());
    }
  }

  OpRegistry registry_;
  Graph graph_;
  Variables variables_;
};

TEST_F(PlanTest, DeadNodesAreLeftOutAndAChainIsInPlace) {
  Input("x", {-1, 8});
  Add("a", {"x"});
  Add("b", {"a"});
  Add("dead", {"a"});
  Add("c", {"b"});
  ASSERT_TRUE(graph_.AddOutput("c").ok());
  const auto plan = Compile();
  ASSERT_EQ(plan->steps().size(), 3u);
  // c over b over a: one buffer, and scratch of 100 bytes beside it.
  EXPECT_EQ(plan->steps()[0].outputs[0].data, plan->steps()[2].outputs[0].data);
  EXPECT_EQ(plan->arena_bytes(), 128 + 128);
  EXPECT_EQ(plan->unplanned_bytes(), 3 * (128 + 128));
  std::vector<float> x(32, 5);
  plan->BindInput(plan->FindInput("x"), x.data());
  Run(*plan);
  EXPECT_EQ(plan->FindOutput("c").floats()[31], 8);
  EXPECT_EQ(plan->FindInput("y"), -1);
  EXPECT_EQ(plan->FindOutput("b").data, nullptr);
}

TEST_F(PlanTest, AVariableIsReadAsItWasWhenTheStepBegan) {
  Parameter("p", 3);
  Add("new", {"p"});
  ASSERT_TRUE(graph_.AddNode("set", op::Assign(), {"p", "new"}).ok());
  // Later in the graph than the change, and yet it reads the old value.
  Add("late", {"p"});
  ASSERT_TRUE(graph_.AddOutput("late").ok());
  const auto plan = Compile();
  EXPECT_EQ(plan->steps().back().name, "set");
  Run(*plan);
  EXPECT_EQ(plan->FindOutput("late").floats()[0], 4);
  EXPECT_EQ(variables_.Find("p")->floats()[0], 4);
  Run(*plan);
  EXPECT_EQ(plan->FindOutput("late").floats()[0], 5);
}

TEST_F(PlanTest, TwoChangersOfOneVariableAreRefused) {
  Parameter("p", 3);
  Add("new", {"p"});
  ASSERT_TRUE(graph_.AddNode("one", op::Assign(), {"p", "new"}).ok());
  ASSERT_TRUE(graph_.AddNode("two", op::Assign(), {"p", "new"}).ok());
  EXPECT_EQ(
      Plan::Compile(graph_, PlanOptions(), &variables_).status().message(),
      "nodes \"one\" and \"two\" both change \"p\"");
}

TEST_F(PlanTest, SenselessBatchesAndTypesAreRefused) {
  Parameter("p", 3);
  ASSERT_TRUE(graph_.AddOutput("p").ok());
  PlanOptions options;
  options.batch = 0;
  EXPECT_EQ(Plan::Compile(graph_, options, &variables_).status().message(),
            "a minibatch needs at least one sample, not 0");
  Variables other;
  ASSERT_TRUE(other.Add("p", {DType::kFloat, Shape({5})}).ok());
  EXPECT_EQ(Plan::Compile(graph_, PlanOptions(), &other).status().message(),
            "parameter \"p\" is FLOAT [5], but the network needs FLOAT [4]");
}

// Random graphs, run with each tensor checked when it is read: if two that are
// needed at once shared memory, a sum would be wrong.
TEST_F(PlanTest, RandomGraphsComputeWhatTheyShould) {
  for (int seed = 0; seed < 200; ++seed) {
    graph_ = Graph(&registry_);
    Input("x", {-1, 1 + seed % 50});
    std::vector<double> expected = {1};  // x is all ones
    std::vector<std::string> names = {"x"};
    const int count = 3 + seed % 40;
    for (int i = 0; i < count; ++i) {
      std::vector<std::string> inputs;
      double sum = 1;
      const int fan_in = 1 + RandomBelow(seed, 0, i, 3);
      for (int k = 0; k < fan_in; ++k) {
        // Mostly of the latest values, so that others can be forgotten.
        const uint64_t back = RandomBelow(seed, 1 + k, i, 5);
        const size_t from =
            names.size() - 1 - std::min<size_t>(back, names.size() - 1);
        inputs.push_back(names[from]);
        sum += expected[from];
      }
      names.push_back(absl::StrCat("n", i));
      expected.push_back(sum);
      Add(names.back(), inputs);
    }
    for (int i = 0; i <= count; i += 7) {
      ASSERT_TRUE(graph_.AddOutput(names[i]).ok());
    }
    for (bool parallel : {false, true}) {
      const auto plan = Compile(3, parallel);
      std::vector<float> x(3 * (1 + seed % 50), 1);
      const int input = plan->FindInput("x");
      if (input >= 0) plan->BindInput(input, x.data());
      Run(*plan);
      EXPECT_LE(plan->arena_bytes(), plan->unplanned_bytes());
      for (int i = 7; i <= count; i += 7) {
        const Tensor output = plan->FindOutput(names[i]);
        for (int64_t k = 0; k < output.elements(); ++k) {
          ASSERT_EQ(output.floats()[k], static_cast<float>(expected[i]))
              << "seed " << seed << ", " << names[i];
        }
      }
    }
  }
}

// Plans of other batch sizes in one arena: as large as the largest, and each
// computes what it would alone, also after the arena has moved.
TEST_F(PlanTest, PlansShareAnArena) {
  Input("x", {-1, 8});
  Add("a", {"x"});
  Add("b", {"a", "x"});
  Add("c", {"a", "b"});
  Add("d", {"c", "a"});
  ASSERT_TRUE(graph_.AddOutput("d").ok());
  std::vector<float> x(8 * 300, 2);
  PlanOptions options;
  options.arena = std::make_shared<Arena>();
  std::vector<std::unique_ptr<Plan>> plans;
  int64_t sum = 0, most = 0;
  for (int64_t batch : {4, 300, 7}) {
    const auto alone = Compile(batch);
    options.batch = batch;
    plans.push_back(*Plan::Compile(graph_, options, &variables_));
    EXPECT_EQ(plans.back()->arena_bytes(), alone->arena_bytes());
    sum += alone->arena_bytes();
    most = std::max(most, alone->arena_bytes());
    EXPECT_EQ(options.arena->bytes(), most);
    // a = 3, b = 6, c = 10, d = 14, whichever ran before.
    for (const auto& plan : plans) {
      plan->BindInput(plan->FindInput("x"), x.data());
      std::fill(plan->FindOutput("d").floats(),
                plan->FindOutput("d").floats() + plan->batch() * 8, 0.0f);
      Run(*plan);
      const Tensor d = plan->FindOutput("d");
      EXPECT_EQ(d.elements(), plan->batch() * 8);
      for (int64_t i = 0; i < d.elements(); ++i) ASSERT_EQ(d.floats()[i], 14);
    }
  }
  EXPECT_LT(options.arena->bytes(), sum);
  // A plan that is gone no longer moves along.
  plans.erase(plans.begin());
  options.batch = 1000;
  const auto larger = Plan::Compile(graph_, options, &variables_);
  ASSERT_TRUE(larger.ok());
  Run(*plans[0]);
  EXPECT_EQ(plans[0]->FindOutput("d").floats()[2399], 14);
}

// What is needed at once never overlaps, in any order that dependencies allow.
TEST(MemoryPlannerTest, RandomRequestsDoNotOverlap) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    std::vector<MemoryRequest> requests;
    for (int i = 0; i < 60; ++i) {
      MemoryRequest request;
      request.bytes = static_cast<int64_t>(RandomBelow(seed, 0, i, 5000));
      request.first = i;
      const int last = i + static_cast<int>(RandomBelow(seed, 1, i, 12));
      if (last < 60) request.last = {i, last};
      requests.push_back(request);
    }
    // Steps of two lanes: even and odd ones know nothing of each other.
    const bool lanes = seed % 2;
    const auto precedes = [&](int a, int b) {
      return a < b && (!lanes || a % 2 == b % 2);
    };
    const MemoryPlan plan =
        lanes ? PlanMemory(requests, precedes) : PlanMemory(requests, nullptr);
    for (int i = 0; i < 60; ++i) {
      EXPECT_EQ(plan.offsets[i] % 64, 0);
      EXPECT_LE(plan.offsets[i] + requests[i].bytes, plan.bytes);
      for (int k = i + 1; k < 60; ++k) {
        if (requests[i].bytes == 0 || requests[k].bytes == 0) continue;
        bool over = !requests[i].last.empty();
        for (int user : requests[i].last) over = over && precedes(user, k);
        const bool apart =
            plan.offsets[i] + requests[i].bytes <= plan.offsets[k] ||
            plan.offsets[k] + requests[k].bytes <= plan.offsets[i];
        EXPECT_TRUE(over || apart) << "seed " << seed << ": " << i << ", " << k;
      }
    }
  }
}

TEST(InitializeTest, EachKindHasItsSpread) {
  std::vector<float> values(300 * 200);
  Tensor tensor{DType::kFloat, Shape({300, 200}), values.data()};
  const auto deviation = [&](const Initializer& init) {
    EXPECT_TRUE(Initialize(init, 1, "w", tensor).ok());
    double squares = 0;
    for (float v : values) squares += double{v} * v;
    return std::sqrt(squares / values.size());
  };
  Initializer init;
  init.mutable_gaussian()->set_stddev(0.3);
  EXPECT_NEAR(deviation(init), 0.3, 0.005);
  init.mutable_uniform()->set_low(-1);
  init.mutable_uniform()->set_high(1);
  EXPECT_NEAR(deviation(init), std::sqrt(1.0 / 3), 0.005);
  init.mutable_xavier();
  EXPECT_NEAR(deviation(init), std::sqrt(2.0 / 500), 0.001);
  init.mutable_he();
  EXPECT_NEAR(deviation(init), std::sqrt(2.0 / 300), 0.001);
  init.mutable_constant()->set_value(2);
  EXPECT_EQ(deviation(init), 2);
  init.mutable_zero();
  EXPECT_EQ(deviation(init), 0);
}

TEST(InitializeTest, OrthogonalColumnsAre) {
  std::vector<float> q(30 * 20);
  Tensor tensor{DType::kFloat, Shape({30, 20}), q.data()};
  Initializer init;
  init.mutable_orthogonal()->set_gain(2);
  ASSERT_TRUE(Initialize(init, 1, "w", tensor).ok());
  for (int a = 0; a < 20; ++a) {
    for (int b = 0; b < 20; ++b) {
      double dot = 0;
      for (int r = 0; r < 30; ++r) dot += q[r * 20 + a] * q[r * 20 + b];
      EXPECT_NEAR(dot, a == b ? 4 : 0, 1e-5);
    }
  }
}

TEST(InitializeTest, NamesAndSeedsGiveStreamsOfTheirOwn) {
  std::vector<float> a(10), b(10);
  Initializer init;
  init.mutable_xavier();
  const auto fill = [&](std::vector<float>& to, uint64_t seed,
                        const char* name) {
    EXPECT_TRUE(
        Initialize(init, seed, name, {DType::kFloat, Shape({5, 2}), to.data()})
            .ok());
  };
  fill(a, 1, "w");
  fill(b, 1, "w");
  EXPECT_EQ(a, b);
  fill(b, 1, "v");
  EXPECT_NE(a, b);
  fill(b, 2, "w");
  EXPECT_NE(a, b);
}

TEST(InitializeTest, SenselessNumbersAreNamed) {
  float value;
  Tensor tensor{DType::kFloat, Shape({1}), &value};
  Initializer init;
  init.mutable_gaussian()->set_stddev(-1);
  EXPECT_EQ(Initialize(init, 1, "h/weight", tensor).message(),
            "parameter \"h/weight\": gaussian of mean 0 and stddev -1; stddev "
            "must be at least 0");
  init.mutable_orthogonal();
  EXPECT_EQ(Initialize(init, 1, "b", tensor).message(),
            "parameter \"b\": orthogonal needs a matrix, not [1]");
}

}  // namespace
}  // namespace tamer
