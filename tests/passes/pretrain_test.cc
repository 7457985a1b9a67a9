// Each method of pretraining against a plain reference: closed formulas with
// the same random streams, or central differences of the loss it reports.

#include <cstring>

#include "absl/strings/match.h"
#include "core/passes/solver.h"
#include "tests/passes/slopes.h"

namespace tamer {
namespace {

constexpr char kStack[] = R"(
  input { name: "x" shape: [6] }
  node { name: "h" input: "x" op { [op/Dense] { units: 5 activation: SIGMOID } } }
  node { name: "drop" input: "h" op { [op/Dropout] { rate: 0.5 } } }
  node { name: "g" input: "drop" op { [op/Dense] { units: 4 activation: SIGMOID } } }
  node { name: "y" input: "g" op { [op/Dense] { units: 3 } } }
  output: "y")";

using PretrainTest = SlopeTest;

TEST_F(PretrainTest, AutoencodersFollowTheirLosssSlope) {
  for (const char* layer :
       {"node: 'h' autoencoder {}", "node: 'h' autoencoder { decoder: FREE }",
        "node: 'h' autoencoder { corruption { mask: 0.4 } }",
        "node: 'h' autoencoder { corruption { salt_pepper: 0.4 } }",
        "node: 'h' autoencoder { visible: GAUSSIAN corruption { gaussian: 0.3 "
        "} }",
        "node: 'h' autoencoder { contraction: 0.5 }",
        "node: 'h' autoencoder { contraction: 0.5 decoder: FREE }",
        "node: 'h' autoencoder { sparsity { target: 0.1 cost: 2 decay: 0 } }",
        "node: 'g' autoencoder {}"}) {
    CheckSlopes(kStack, layer);
  }
}

TEST_F(PretrainTest, UnrolledStacksFollowTheirLosssSlope) {
  for (const char* layer :
       {"node: 'g' unrolled {}", "node: 'g' unrolled { decoder: FREE }",
        "node: 'g' unrolled { visible: GAUSSIAN corruption { mask: 0.3 } }"}) {
    CheckSlopes(kStack, layer);
  }
}

TEST_F(PretrainTest, PretextTasksFollowTheirLosssSlope) {
  CheckSlopes(kStack, "node: 'g' masked { mask: 0.5 }");
  CheckSlopes(kStack, "node: 'h' labels { classes: 3 }");
  CheckSlopes(R"(
    input { name: "x" shape: [2, 2] }
    node { name: "flat" input: "x" op { [op/Flatten] {} } }
    node { name: "h" input: "flat" op { [op/Dense] { units: 5 activation: TANH } } }
    output: "h")",
              "node: 'h' rotation {}");
}

TEST_F(PretrainTest, RestoredIsTheCleanInputNotTheNoisy) {
  const auto graph = Pretrain(
      Parse(kStack),
      Proto<PretrainLayer>("node: 'h' autoencoder { corruption { mask: 1 } }"),
      Proto<SolverDef>("sgd {}"));
  ASSERT_TRUE(graph.ok());
  Variables variables;
  auto plan = Compile(graph, &variables);
  Run(*plan);
  // All is masked, so the code is that of nothing: the same for every sample.
  double error = 0;
  for (int i = 0; i < 60; ++i) {
    const float* w = variables.Find("h/weight")->floats();
    EXPECT_NE(w, nullptr);
    error += x_[i] * x_[i];
  }
  EXPECT_GT(plan->FindOutput("reconstruction_error").floats()[0], 0.01);
  EXPECT_GT(error, 0);
  // Only what the layer owns learns, and the layer below is as for prediction.
  const auto above =
      Pretrain(Parse(kStack), Proto<PretrainLayer>("node: 'g' autoencoder {}"),
               Proto<SolverDef>("sgd {}"));
  EXPECT_EQ(UpdatedBy(*above),
            (std::vector<std::string>{"g/bias", "g/visible_bias", "g/weight"}));
  EXPECT_LT(above->FindNode("drop"), 0);
}

TEST_F(PretrainTest, SparsityShiftsTheDataSideOfContrastiveDivergence) {
  const Graph network = Parse(kStack);
  const auto step = [&](const char* sparsity) {
    Variables variables;
    auto plan = Compile(Pretrain(network,
                                 Proto<PretrainLayer>(absl::StrCat(
                                     "node: 'h' rbm { ", sparsity, " }")),
                                 Proto<SolverDef>("sgd {}")),
                        &variables, 5);
    Run(*plan, 2);
    return Save(variables);
  };
  const auto plain = step("");
  const auto sparse = step("sparsity { target: 0.1 cost: 0.5 decay: 0.75 }");
  Variables fresh;
  ASSERT_TRUE(fresh.AddMissing(network, 5).ok());
  Rbm rbm;
  const auto copy = [&](const char* name) {
    const auto values = Values(fresh, name);
    return std::vector<double>(values.begin(), values.end());
  };
  rbm.w = copy("h/weight");
  rbm.b = copy("h/bias");
  std::vector<double> mean(5, 0), v_mean(6, 0);
  for (int n = 0; n < 10; ++n) {
    const std::vector<double> v(x_ + n * 6, x_ + n * 6 + 6);
    const auto h = rbm.Up(v);
    for (int j = 0; j < 5; ++j) mean[j] += h[j] / 10;
    for (int i = 0; i < 6; ++i) v_mean[i] += v[i] / 10;
  }
  for (int j = 0; j < 5; ++j) {
    const double q = 0.75 * 0.1 + 0.25 * mean[j];
    EXPECT_NEAR(sparse.at("rbm/h/sparsity/average")[j], q, 1e-6);
    const double push = rate_ * 0.5 * (q - 0.1);
    EXPECT_NEAR(plain.at("h/bias")[j] - sparse.at("h/bias")[j], push, 1e-6);
    for (int i = 0; i < 6; ++i) {
      EXPECT_NEAR(
          plain.at("h/weight")[i * 5 + j] - sparse.at("h/weight")[i * 5 + j],
          push * v_mean[i], 1e-6);
    }
  }
}

// The negative phase is that of the particles, whose states are kept.
TEST_F(PretrainTest, PersistentChainsGoOnFromTheirParticles) {
  Variables variables;
  auto plan =
      Compile(Pretrain(Parse(kStack),
                       Proto<PretrainLayer>(
                           "node: 'h' rbm { persistent: true particles: 7 }"),
                       Proto<SolverDef>("sgd {}")),
              &variables, 5);
  for (uint64_t step = 0; step < 3; ++step) {
    Rbm rbm;
    const auto copy = [&](const char* name) {
      const auto values = Values(variables, name);
      return std::vector<double>(values.begin(), values.end());
    };
    rbm.w = copy("h/weight");
    rbm.b = copy("h/bias");
    rbm.c = copy("h/visible_bias");
    const auto particles = copy("rbm/h/particles");
    std::vector<float> hidden(35), visible(42);
    FillUniform(StreamKey(5, "rbm/h/sample1"), step, 35, hidden.data());
    FillUniform(StreamKey(5, "rbm/h/visible_sample1"), step, 42,
                visible.data());
    Rbm changed = rbm;
    for (int n = 0; n < 10; ++n) {
      const std::vector<double> v(x_ + n * 6, x_ + n * 6 + 6);
      const auto h = rbm.Up(v);
      for (int i = 0; i < 6; ++i) {
        for (int j = 0; j < 5; ++j) {
          changed.w[i * 5 + j] += rate_ * v[i] * h[j] / 10;
        }
      }
      for (int j = 0; j < 5; ++j) changed.b[j] += rate_ * h[j] / 10;
    }
    std::vector<double> next;
    for (int n = 0; n < 7; ++n) {
      const auto up =
          rbm.Up({particles.begin() + n * 6, particles.begin() + n * 6 + 6});
      std::vector<double> sample(5), v(6);
      for (int j = 0; j < 5; ++j) sample[j] = hidden[n * 5 + j] < up[j];
      const auto down = rbm.Down(sample, false);
      for (int i = 0; i < 6; ++i) v[i] = visible[n * 6 + i] < down[i];
      next.insert(next.end(), v.begin(), v.end());
      const auto h = rbm.Up(v);
      for (int i = 0; i < 6; ++i) {
        for (int j = 0; j < 5; ++j) {
          changed.w[i * 5 + j] -= rate_ * v[i] * h[j] / 7;
        }
      }
      for (int j = 0; j < 5; ++j) changed.b[j] -= rate_ * h[j] / 7;
    }
    Run(*plan, step);
    EXPECT_EQ(copy("rbm/h/particles"), next);
    const auto w = copy("h/weight"), b = copy("h/bias");
    for (int i = 0; i < 30; ++i) EXPECT_NEAR(w[i], changed.w[i], 1e-6);
    for (int j = 0; j < 5; ++j) EXPECT_NEAR(b[j], changed.b[j], 1e-6);
  }
}

// Layers of rectified units learn to restore what they see.
TEST_F(PretrainTest, RectifiedUnitsLearn) {
  const Graph network = Parse(R"(
    input { name: "x" shape: [6] }
    node { name: "h" input: "x" op { [op/Dense] { units: 12 activation: RELU } } }
    output: "h")");
  Variables variables;
  auto plan = Compile(
      Pretrain(network,
               Proto<PretrainLayer>("node: 'h' rbm { visible: GAUSSIAN }"),
               Proto<SolverDef>("sgd {}")),
      &variables);
  rate_ = 0.01f;
  const auto error = [&] {
    return plan->FindOutput("reconstruction_error").floats()[0];
  };
  Run(*plan, 0);
  const float first = error();
  for (int step = 1; step < 1500; ++step) Run(*plan, step);
  EXPECT_LT(error(), first / 3);
}

// The wake phase teaches the generative weights by the delta rule, from the
// states that the recognition weights and the step's random numbers give.
TEST_F(PretrainTest, UpDownTeachesDownwardsByTheDeltaRule) {
  Variables variables;
  auto plan = Compile(
      Pretrain(Parse(kStack), Proto<PretrainLayer>("node: 'g' up_down {}"),
               Proto<SolverDef>("sgd {}")),
      &variables, 5);
  Shake(&variables);
  const auto saved = Save(variables);
  Rbm up, down;
  const auto doubles = [&](const char* name) {
    return std::vector<double>(saved.at(name).begin(), saved.at(name).end());
  };
  up.w = doubles("h/weight");
  up.b = doubles("h/bias");
  const auto g = doubles("h/generative_weight");  // [5, 6]
  const auto c = doubles("h/visible_bias");
  std::vector<float> uniform(50);
  FillUniform(StreamKey(5, "up_down/g/wake_state/h"), 4, 50, uniform.data());
  std::vector<double> expected = g;
  for (int n = 0; n < 10; ++n) {
    const std::vector<double> v(x_ + n * 6, x_ + n * 6 + 6);
    const auto p = up.Up(v);
    for (int i = 0; i < 6; ++i) {
      double sum = c[i];
      for (int j = 0; j < 5; ++j) {
        sum += (uniform[n * 5 + j] < p[j]) * g[j * 6 + i];
      }
      const double error = v[i] - Rbm::Sigmoid(sum);
      for (int j = 0; j < 5; ++j) {
        expected[j * 6 + i] += rate_ * (uniform[n * 5 + j] < p[j]) * error / 10;
      }
    }
  }
  Run(*plan, 4);
  const auto after = Values(variables, "h/generative_weight");
  for (int i = 0; i < 30; ++i) EXPECT_NEAR(after[i], expected[i], 1e-6);
  // Recognition, generation and the top learn too, each its own.
  for (const char* name : {"h/weight", "g/weight", "g/visible_bias"}) {
    EXPECT_NE(Values(variables, name), saved.at(name)) << name;
  }
}

TEST_F(PretrainTest, StartValuesTellWhatDataDetermine) {
  const Graph network = Parse(kStack);
  const auto starts = [&](const char* text) {
    std::string result;
    for (const StartValue& start :
         StartValues(network, Proto<PretrainLayer>(text))) {
      absl::StrAppend(&result, start.variable, "=", start.rule, " ");
    }
    return result;
  };
  EXPECT_EQ(starts("node: 'h' rbm {}"),
            absl::StrCat("h/visible_bias=", StartValue::kLogitOfMean, " "));
  EXPECT_EQ(starts("node: 'h' rbm { visible_bias_from_data: false }"), "");
  EXPECT_EQ(starts("node: 'h' rbm { visible: GAUSSIAN hidden_bias: -4 }"),
            absl::StrCat("h/bias=", StartValue::kConstant,
                         " h/visible_bias=", StartValue::kMean, " "));
  EXPECT_EQ(starts("node: 'g' up_down {}"),
            absl::StrCat("h/generative_weight=", StartValue::kTransposed,
                         " h/visible_bias=", StartValue::kLogitOfMean, " "));
}

TEST_F(PretrainTest, WhatCannotBePretrainedIsSaid) {
  const auto fault = [&](const char* network, const char* layer) {
    return std::string(Pretrain(Parse(network), Proto<PretrainLayer>(layer),
                                Proto<SolverDef>("sgd {}"))
                           .status()
                           .message());
  };
  const auto expect = [&](const char* layer, const char* part) {
    EXPECT_TRUE(absl::StrContains(fault(kStack, layer), part))
        << layer << "\n"
        << fault(kStack, layer);
  };
  expect("node: 'hh' rbm {}", "did you mean \"h\"");
  expect("node: 'y' rbm {}", "needs a Dense with activation: SIGMOID");
  expect("node: 'drop' rbm {}", "it is a Dropout");
  expect("node: 'h' rbm { particles: 0 }", "particles is 0");
  expect("node: 'h' autoencoder { contraction: -1 }", "contraction is -1");
  expect("node: 'h' autoencoder { visible: RECTIFIED }", "is for RBMs");
  expect("node: 'h' autoencoder { corruption { mask: 2 } }", "amount is 2");
  expect("node: 'h' masked { mask: 0 }", "mask is 0");
  expect("node: 'h' rotation {}", "square images");
  expect("node: 'y' unrolled {}", "needs a Dense with activation");
  expect("node: 'h' rbm { sparsity { target: 1 } }", "target is 1");
}

TEST_F(PretrainTest, LayersUnfreezeFromTheTopAndRatesFallWithDepth) {
  const Graph network = Parse(kStack);
  const auto finetune =
      Loss("SoftmaxCrossEntropy",
           "unfreeze_every: 2 freeze_until { node: 'g' epoch: 6 }");
  EXPECT_EQ(UnfreezingEpochs(network, finetune),
            (std::vector<int64_t>{1, 3, 5, 6}));
  const auto trained = [&](int64_t epoch) {
    const auto graph =
        Finetune(network, finetune, Proto<SolverDef>("adam {}"), epoch);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return UpdatedBy(*graph);
  };
  using Names = std::vector<std::string>;
  const Names top = {"y/bias", "y/weight"};
  EXPECT_EQ(trained(1), top);
  EXPECT_EQ(trained(4), top);  // g waits for its own epoch
  EXPECT_EQ(trained(5), (Names{"h/bias", "h/weight", "y/bias", "y/weight"}));
  EXPECT_EQ(trained(6).size(), 6u);

  const auto graph = Finetune(
      network, Loss("SoftmaxCrossEntropy"),
      Proto<SolverDef>("sgd {} rate_divisor_by_depth: 2 "
                       "rate_multiplier { key: 'g' value: 3 } max_norm: 4"));
  const std::string text = PrintGraph(*graph);
  const auto line = [&](const char* variable) {
    const size_t at = text.find(absl::StrCat("\"update/", variable, "\""));
    return text.substr(at, text.find("node {", at) - at);
  };
  EXPECT_TRUE(absl::StrContains(line("h/weight"), "multiplier: 0.25"));
  EXPECT_TRUE(absl::StrContains(line("g/weight"), "multiplier: 1.5"));
  EXPECT_FALSE(absl::StrContains(line("y/weight"), "multiplier"));
  EXPECT_TRUE(absl::StrContains(line("y/weight"), "max_norm: 4"));
  EXPECT_FALSE(absl::StrContains(line("y/bias"), "max_norm"));
}

// A repetition of a block is one layer, whatever stands in it.
TEST_F(PretrainTest, BlocksUnfreezeAsOneAndStarsNameNodesOfAll) {
  const Graph network = Parse(R"(
    input { name: "x" shape: [3, 4] }
    block {
      name: "mlp" input: "in"
      node { name: "wide" input: "in" op { [op/Dense] { units: 8 activation: GELU } } }
      node { name: "narrow" input: "wide" op { [op/Dense] { units: 4 } } }
      output: "narrow"
    }
    block {
      name: "residual" input: "in"
      node { name: "mlp" input: "in" block: "mlp" }
      node { name: "sum" input: "in" input: "mlp" op { [op/Add] {} } }
      output: "sum"
    }
    node { name: "embed" input: "x" op { [op/Dense] { units: 4 } } }
    node { name: "enc" input: "embed" block: "residual" repeat: 3 }
    node { name: "top" input: "enc" block: "mlp" }
    node { name: "mean" input: "top" op { [op/Reduce] { kind: MEAN axis: 1 } } }
    node { name: "y" input: "mean" op { [op/Dense] { units: 3 } } }
    output: "y")");
  const auto finetune = Loss("SoftmaxCrossEntropy", "unfreeze_every: 1");
  // y, top, enc.2, enc.1, enc.0, embed.
  EXPECT_EQ(UnfreezingEpochs(network, finetune),
            (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  const auto trained = [&](const std::string& rest, int64_t epoch) {
    const auto graph = Finetune(network, Loss("SoftmaxCrossEntropy", rest),
                                Proto<SolverDef>("adam {}"), epoch);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return UpdatedBy(*graph);
  };
  using Names = std::vector<std::string>;
  const Names two = {"top/narrow/bias", "top/narrow/weight",
                     "top/wide/bias",   "top/wide/weight",
                     "y/bias",          "y/weight"};
  EXPECT_EQ(trained("unfreeze_every: 1", 2), two);
  EXPECT_EQ(trained("unfreeze_every: 1", 3).size(), 10u);
  EXPECT_EQ(trained("freeze: 'e*'", 1), two);
  EXPECT_EQ(
      trained("freeze: '*narrow' freeze: 'y' freeze: '*.1'", 1),
      (Names{"embed/bias", "embed/weight", "enc.0/mlp/wide/bias",
             "enc.0/mlp/wide/weight", "enc.2/mlp/wide/bias",
             "enc.2/mlp/wide/weight", "top/wide/bias", "top/wide/weight"}));
  const auto graph =
      Finetune(network, Loss("SoftmaxCrossEntropy"),
               Proto<SolverDef>("sgd {} rate_divisor_by_depth: 2"));
  const std::string text = PrintGraph(*graph);
  for (const auto& [variable, multiplier] :
       {std::pair<const char*, const char*>{"top/wide/weight", "0.5"},
        {"top/narrow/weight", "0.5"},
        {"enc.2/mlp/wide/weight", "0.25"},
        {"enc.2/mlp/narrow/bias", "0.25"},
        {"enc.0/mlp/wide/weight", "0.0625"},
        {"embed/weight", "0.03125"}}) {
    const size_t at = text.find(absl::StrCat("\"update/", variable, "\""));
    EXPECT_TRUE(absl::StrContains(text.substr(at, text.find("node {", at) - at),
                                  absl::StrCat("multiplier: ", multiplier)))
        << variable;
  }
  std::vector<std::string> frozen;
  const auto adapted =
      Adapt(network, Proto<AdaptersDef>("rank: 2 node: '*/wide'"), {}, &frozen);
  ASSERT_TRUE(adapted.ok()) << adapted.status();
  EXPECT_EQ(frozen.size(), 8u);
  // An adapter belongs to its node's layer.
  EXPECT_EQ(UnfreezingEpochs(*adapted, finetune).size(), 6u);
}

// An adapter changes nothing at first, and only adapters and what isn't adapted
// learn, by the slope of the loss.
TEST_F(PretrainTest, AdaptersBeginAsNothingAndLeaveTheBaseAlone) {
  const Graph network = Parse(kStack);
  std::vector<std::string> frozen;
  const auto adapted =
      Adapt(network, Proto<AdaptersDef>("rank: 2"), {"y"}, &frozen);
  ASSERT_TRUE(adapted.ok()) << adapted.status();
  EXPECT_EQ(frozen, (std::vector<std::string>{"h/weight", "h/bias", "g/weight",
                                              "g/bias"}));
  FinetuneDef finetune = Loss("SoftmaxCrossEntropy");
  for (const std::string& name : frozen) finetune.add_freeze(name);
  const auto graph = Finetune(*adapted, finetune,
                              Proto<SolverDef>("nesterov { momentum: 0.9 } "
                                               "weight_decay: 0.1"));
  Variables variables;
  auto plan = Compile(graph, &variables);
  auto plain =
      Compile(Evaluate(network, Loss("SoftmaxCrossEntropy")), &variables);
  auto with =
      Compile(Evaluate(*adapted, Loss("SoftmaxCrossEntropy")), &variables);
  const auto loss = [&](Plan& of) {
    Run(of);
    return of.FindOutput("loss").floats()[0];
  };
  EXPECT_EQ(loss(*plain), loss(*with));
  const auto before = Save(variables);
  for (int step = 0; step < 20; ++step) Run(*plan, step);
  for (const std::string& name : frozen) {
    EXPECT_EQ(Values(variables, name), before.at(name)) << name;
    EXPECT_EQ(variables.Find("update/" + name + "/velocity"), nullptr);
  }
  for (const char* name : {"h/lora_a", "h/lora_b", "g/lora_b", "y/weight"}) {
    EXPECT_NE(Values(variables, name), before.at(name)) << name;
  }
  EXPECT_LT(loss(*with), loss(*plain));
  // Merged, W + scale A B gives what the adapted network gave.
  const float adapted_loss = loss(*with);
  for (const char* node : {"h", "g"}) {
    const auto part = [&](const char* name) {
      return *variables.Find(absl::StrCat(node, "/", name));
    };
    const Tensor w = part("weight"), a = part("lora_a"), b = part("lora_b");
    for (int64_t i = 0; i < w.shape.dim(0); ++i) {
      for (int64_t j = 0; j < w.shape.dim(1); ++j) {
        for (int64_t r = 0; r < 2; ++r) {
          w.floats()[i * w.shape.dim(1) + j] +=
              2 * a.floats()[i * 2 + r] * b.floats()[r * w.shape.dim(1) + j];
        }
      }
    }
  }
  EXPECT_NEAR(loss(*plain), adapted_loss, 1e-5);
}

}  // namespace
}  // namespace tamer
