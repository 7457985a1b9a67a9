// The graphs that passes make, run for real and held against plain references.

#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "core/base/allocation_counter.h"
#include "tests/passes/fixture.h"

namespace tamer {
namespace {

// One step of plain SGD moves each parameter by -rate * gradient; the gradient
// of the loss is taken by central differences through the evaluation graph. The
// network has a fan-out (h is read twice).
TEST_F(PassesTest, FineTuningFollowsTheLosssGradient) {
  const Graph network = Parse(kNetwork);
  const FinetuneDef finetune = Loss("SoftmaxCrossEntropy");
  Variables variables;
  auto evaluate = Compile(Evaluate(network, finetune), &variables);
  const auto loss = [&] {
    Run(*evaluate);
    return double{evaluate->FindOutput("loss").floats()[0]};
  };
  std::map<std::string, std::vector<double>> gradients;
  for (const auto& entry : variables.all()) {
    for (int64_t i = 0; i < entry.second.elements(); ++i) {
      float& p = entry.second.floats()[i];
      const float before = p;
      const float step = 1e-2f;
      p = before + step;
      const double above = loss();
      p = before - step;
      const double below = loss();
      p = before;
      gradients[entry.first].push_back((above - below) / (2 * step));
    }
  }
  std::map<std::string, std::vector<float>> before;
  for (const auto& entry : variables.all()) {
    before[entry.first] = Values(variables, entry.first);
  }
  auto train = Compile(
      Finetune(network, finetune, Proto<SolverDef>("sgd { learning_rate: 1 }")),
      &variables);
  Run(*train);
  for (const auto& entry : before) {
    const std::vector<float> after = Values(variables, entry.first);
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_NEAR((entry.second[i] - after[i]) / rate_,
                  gradients[entry.first][i], 2e-4)
          << entry.first << " " << i;
    }
  }
}

TEST_F(PassesTest, SharedParametersSumTheirGradients) {
  // Twice the same linear map: d(w w x)/dw = 2 w x for scalars.
  const Graph network = Parse(R"(
    input { name: "x" shape: [1] }
    node { name: "a" input: "x" op { [op/Dense] { units: 1 bias: false } } }
    node { name: "b" input: "a" share_with: "a" op { [op/Dense] { units: 1 bias: false } } }
    output: "b")");
  Variables variables;
  const float targets[10] = {};
  rate_ = 0.001f;
  auto plan = Compile(
      Finetune(network, Loss("MeanSquaredError"), Proto<SolverDef>("sgd {}")),
      &variables);
  plan->BindInput(plan->FindInput("targets"), targets);
  const double w = Values(variables, "a/weight")[0];
  double gradient = 0;
  for (int i = 0; i < 10; ++i) {
    const double x = x_[i];
    gradient += 2 * (w * w * x) * (2 * w * x) / 10;
  }
  Run(*plan);
  EXPECT_NEAR(Values(variables, "a/weight")[0], w - 0.001 * gradient, 1e-7);
}

TEST_F(PassesTest, FrozenLayersDoNotChangeAndCostNothing) {
  const Graph network = Parse(kNetwork);
  Variables variables;
  const auto graph = Finetune(
      network, Loss("SoftmaxCrossEntropy", "freeze: 'h' freeze: 'g'"),
      Proto<SolverDef>("nesterov { momentum: 0.9 } weight_decay: 0.1"));
  auto plan = Compile(graph, &variables);
  EXPECT_LT(graph->FindNode("grad/h/weight"), 0);
  EXPECT_LT(graph->FindNode("grad/y/input"), 0);
  EXPECT_EQ(variables.Find("update/h/weight/velocity"), nullptr);
  const auto h = Values(variables, "h/weight"),
             y = Values(variables, "y/weight");
  for (int i = 0; i < 5; ++i) Run(*plan, i);
  EXPECT_EQ(Values(variables, "h/weight"), h);
  EXPECT_NE(Values(variables, "y/weight"), y);
}

TEST_F(PassesTest, WeightDecayLeavesBiasesUnlessAsked) {
  const Graph network = Parse(kNetwork);
  for (bool asked : {false, true}) {
    SolverDef solver = Proto<SolverDef>("sgd {} weight_decay: 0.1");
    solver.set_decay_biases(asked);
    const auto graph = Finetune(network, Loss("SoftmaxCrossEntropy"), solver);
    const std::string text = PrintGraph(*graph);
    const size_t bias = text.find("name: \"update/y/bias\"");
    const size_t weight = text.find("name: \"update/y/weight\"");
    EXPECT_EQ(text.substr(bias, weight - bias).find("weight_decay") !=
                  std::string::npos,
              asked);
    EXPECT_NE(text.find("weight_decay", weight), std::string::npos);
  }
}

TEST_F(PassesTest, RateMultipliersReachTheirNodes) {
  const Graph network = Parse(kNetwork);
  Variables variables;
  SolverDef solver = Proto<SolverDef>("sgd {}");
  (*solver.mutable_rate_multiplier())["y"] = 0;
  auto plan = Compile(Finetune(network, Loss("SoftmaxCrossEntropy"), solver),
                      &variables);
  const auto h = Values(variables, "h/weight"),
             y = Values(variables, "y/weight");
  Run(*plan);
  EXPECT_NE(Values(variables, "h/weight"), h);
  EXPECT_EQ(Values(variables, "y/weight"), y);
  (*solver.mutable_rate_multiplier())["yy"] = 2;
  EXPECT_EQ(
      Finetune(network, Loss("SoftmaxCrossEntropy"), solver).status().message(),
      "solver: rate_multiplier: there is no node \"yy\"; did you mean "
      "\"y\"?");
}

// The change that one SGD step makes has a norm of at most rate * limit.
TEST_F(PassesTest, ClippingLimitsTheGradient) {
  const Graph network = Parse(kNetwork);
  for (const char* clip : {"clip_norm: 0.01", "clip_value: 0.001"}) {
    Variables variables;
    rate_ = 1;
    auto plan = Compile(Finetune(network, Loss("SoftmaxCrossEntropy", clip),
                                 Proto<SolverDef>("sgd {}")),
                        &variables);
    std::map<std::string, std::vector<float>> before;
    for (const auto& entry : variables.all()) {
      before[entry.first] = Values(variables, entry.first);
    }
    Run(*plan);
    double squares = 0, most = 0;
    for (const auto& entry : before) {
      const auto after = Values(variables, entry.first);
      for (size_t i = 0; i < after.size(); ++i) {
        const double change = after[i] - entry.second[i];
        squares += change * change;
        most = std::max(most, std::fabs(change));
      }
    }
    if (clip[5] == 'n') {
      EXPECT_NEAR(std::sqrt(squares), 0.01, 1e-5);
    } else {
      EXPECT_NEAR(most, 0.001, 1e-6);
    }
  }
}

TEST_F(PassesTest, InferenceLeavesDropoutOut) {
  const Graph network = Parse(R"(
    input { name: "x" shape: [6] }
    node { name: "drop" input: "x" op { [op/Dropout] {} } }
    node { name: "y" input: "drop" op { [op/Dense] { units: 2 } } }
    node { name: "last" input: "y" op { [op/Dropout] {} } }
    output: "last")");
  const auto graph = Infer(network);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->nodes().size(), 1u);
  EXPECT_EQ(graph->value(graph->outputs()[0]).name, "y");
}

TEST_F(PassesTest, AnOpWithoutGradientStopsTrainingBeforeIt) {
  const Graph network = Parse(R"(
    input { name: "x" shape: [6] }
    node { name: "h" input: "x" op { [op/Dense] { units: 4 activation: SIGMOID } } }
    node { name: "s" input: "h" op { [op/Sample] {} } }
    node { name: "y" input: "s" op { [op/Dense] { units: 3 } } }
    output: "y")");
  const SolverDef solver = Proto<SolverDef>("sgd {}");
  EXPECT_EQ(
      Finetune(network, Loss("SoftmaxCrossEntropy"), solver).status().message(),
      "net:4:5: node \"s\": Sample has no gradient, so what comes before "
      "it cannot be trained; freeze that, or leave the node out");
  EXPECT_TRUE(
      Finetune(network, Loss("SoftmaxCrossEntropy", "freeze: 'h'"), solver)
          .ok());
}

TEST_F(PassesTest, NamesThatPassesGiveAreTheirs) {
  const Graph network = Parse(R"(
    input { name: "x" shape: [6] }
    node { name: "loss" input: "x" op { [op/Dense] { units: 4 } } }
    output: "loss")");
  EXPECT_TRUE(absl::StrContains(
      Finetune(network, Loss("SoftmaxCrossEntropy"), Proto<SolverDef>("sgd {}"))
          .status()
          .message(),
      "the name \"loss\" is taken"));
}

TEST_F(PassesTest, ContrastiveDivergenceIsTheTextbooks) {
  const Graph network = Parse(kNetwork);
  for (const char* rbm_text :
       {"cd_steps: 1", "cd_steps: 3", "cd_steps: 2 visible: GAUSSIAN"}) {
    SCOPED_TRACE(rbm_text);
    const auto layer =
        Proto<PretrainLayer>(std::string("node: 'h' rbm { ") + rbm_text + " }");
    Variables variables;
    auto plan = Compile(Pretrain(network, layer, Proto<SolverDef>("sgd {}")),
                        &variables, /*seed=*/5);
    const uint64_t step = 3;
    Rbm rbm;
    const auto assign = [&](const char* name, std::vector<double>* to) {
      const auto values = Values(variables, name);
      to->assign(values.begin(), values.end());
    };
    for (int i = 0; i < 6; ++i) {
      variables.Find("h/visible_bias")->floats()[i] = 0.1f * i;
    }
    assign("h/weight", &rbm.w);
    assign("h/bias", &rbm.b);
    assign("h/visible_bias", &rbm.c);
    const int steps = layer.rbm().cd_steps();
    const bool linear = layer.rbm().visible() == GAUSSIAN;
    std::vector<std::vector<float>> uniform(steps, std::vector<float>(50));
    for (int k = 0; k < steps; ++k) {
      FillUniform(StreamKey(5, absl::StrCat("rbm/h/sample", k + 1)), step, 50,
                  uniform[k].data());
    }
    Rbm changed = rbm;
    double error = 0;
    for (int n = 0; n < 10; ++n) {
      const std::vector<double> v0(x_ + n * 6, x_ + n * 6 + 6);
      const std::vector<double> h0 = rbm.Up(v0);
      std::vector<double> v = v0, h = h0;
      for (int k = 0; k < steps; ++k) {
        std::vector<double> sample(5);
        for (int j = 0; j < 5; ++j) sample[j] = uniform[k][n * 5 + j] < h[j];
        v = rbm.Down(sample, linear);
        h = rbm.Up(v);
      }
      for (int i = 0; i < 6; ++i) {
        for (int j = 0; j < 5; ++j) {
          changed.w[i * 5 + j] += rate_ * (v0[i] * h0[j] - v[i] * h[j]) / 10;
        }
        changed.c[i] += rate_ * (v0[i] - v[i]) / 10;
        error += (v0[i] - v[i]) * (v0[i] - v[i]) / 60;
      }
      for (int j = 0; j < 5; ++j) changed.b[j] += rate_ * (h0[j] - h[j]) / 10;
    }
    Run(*plan, step);
    const auto expect = [&](const char* name, const std::vector<double>& to) {
      const auto values = Values(variables, name);
      for (size_t i = 0; i < values.size(); ++i) {
        EXPECT_NEAR(values[i], to[i], 1e-6) << name << " " << i;
      }
    };
    expect("h/weight", changed.w);
    expect("h/bias", changed.b);
    expect("h/visible_bias", changed.c);
    EXPECT_NEAR(plan->FindOutput("reconstruction_error").floats()[0], error,
                1e-6);
  }
}

TEST_F(PassesTest, PretrainingAHigherLayerLeavesTheLowerAlone) {
  const Graph network = Parse(R"(
    input { name: "x" shape: [6] }
    node { name: "a" input: "x" op { [op/Dense] { units: 5 activation: SIGMOID } } }
    node { name: "drop" input: "a" op { [op/Dropout] {} } }
    node { name: "b" input: "drop" op { [op/Dense] { units: 4 activation: SIGMOID } } }
    output: "b")");
  const auto layer = Proto<PretrainLayer>("node: 'b' rbm {}");
  const SolverDef solver = Proto<SolverDef>("sgd {}");
  Variables variables;
  const auto graph = Pretrain(network, layer, solver);
  auto plan = Compile(graph, &variables);
  EXPECT_LT(graph->FindNode("drop"), 0);
  const auto a = Values(variables, "a/weight"),
             b = Values(variables, "b/weight");
  Run(*plan);
  EXPECT_EQ(Values(variables, "a/weight"), a);
  EXPECT_NE(Values(variables, "b/weight"), b);
  // Fed with a's features, the cut network learns the very same.
  Variables cut_variables;
  ASSERT_TRUE(cut_variables.AddMissing(network, 1).ok());
  const auto cut = CutBelow(network, "drop");
  ASSERT_TRUE(cut.ok()) << cut.status();
  auto trunk = network;
  trunk.ClearOutputs();
  ASSERT_TRUE(trunk.AddOutput("a").ok());
  auto features = Compile(Infer(trunk), &cut_variables);
  Run(*features);
  auto cut_plan = Compile(Pretrain(*cut, layer, solver), &cut_variables);
  cut_plan->BindInput(cut_plan->FindInput("drop"),
                      features->FindOutput("a").data);
  Run(*cut_plan);
  EXPECT_EQ(Values(variables, "b/weight"), Values(cut_variables, "b/weight"));
}

// oneDNN 2.6 itself allocates in each execution of a primitive (its map of
// arguments); nothing of ours does.
TEST_F(PassesTest, HundredStepsAllocateNothingOfOurs) {
  const Graph network = Parse(kNetwork);
  const std::vector<absl::StatusOr<Graph>> graphs = {
      Finetune(network, Loss("SoftmaxCrossEntropy", "clip_norm: 1"),
               Proto<SolverDef>("nesterov { momentum: 0.9 }")),
      Finetune(network, Loss("SoftmaxCrossEntropy"),
               Proto<SolverDef>("adam {}")),
      Pretrain(network, Proto<PretrainLayer>("node: 'h' rbm { cd_steps: 2 }"),
               Proto<SolverDef>("sgd { momentum: 0.5 }")),
      Infer(network)};
  for (const auto& graph : graphs) {
    Variables variables;
    auto plan = Compile(graph, &variables);
    for (int i = 0; i < 3; ++i) Run(*plan, i);
    const int64_t own = OwnAllocations(), library = LibraryAllocations();
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(scheduler_.Run(*plan, i).ok());
    }
    EXPECT_EQ(OwnAllocations(), own);
    std::printf("within libraries: %.1f allocations a step\n",
                (LibraryAllocations() - library) / 100.0);
  }
}

}  // namespace
}  // namespace tamer
