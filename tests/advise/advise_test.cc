#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "core/advise/advice.h"
#include "core/base/random.h"
#include "core/graph/text.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

// Each rule by a recipe that it speaks of; the good recipe that they are made
// from, by one change each, is one of which no rule speaks.

namespace tamer {
namespace {

constexpr char kNetwork[] = R"(name: "small"
input { name: "pixels" shape: [36] }
node { name: "h1" input: "pixels" op { [op/Dense] { units: 20 activation: SIGMOID } } }
node { name: "h2" input: "h1" op { [op/Dense] { units: 12 activation: SIGMOID } } }
node { name: "logits" input: "h2" op { [op/Dense] { units: 3 } } }
output: "logits"
)";

constexpr char kRecipe[] = R"(name: "small"
graph_file: "network.pbtxt"
data {
  train { npy { features: "train.npy" labels: "train-labels.npy" } }
  test { npy { features: "test.npy" labels: "test-labels.npy" } }
}
stage {
  name: "features"
  pretrain {
    layer { node: "h1" rbm {} }
    layer { node: "h2" rbm {} }
  }
  solver { sgd { learning_rate: 0.05 momentum: 0.9 } }
}
stage {
  name: "labels"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 20 }
  solver { nesterov { learning_rate: 0.02 momentum: 0.9 } }  # as always
}
)";

using Changes = std::vector<std::pair<std::string, std::string>>;

// What is done to the data.
enum Made {
  kGood,
  kNan,
  kLarge,
  kFaint,
  kConstant,
  kHalfConstant,
  kImbalanced,
  kMissing,
  kShared,
  kNear,
  kShuffledLabels,
  kOtherTest,
  kFew,
  kSparse,
};

void WriteNpy(const std::string& path, const std::vector<float>& values,
              int rows, int columns) {
  std::string header =
      columns == 0
          ? absl::StrCat("{'descr': '<i4', 'fortran_order': False, 'shape': (",
                         rows, ",), }")
          : absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (",
                         rows, ", ", columns, "), }");
  header.resize(117, ' ');
  header += '\n';
  std::ofstream out(path, std::ios::binary);
  out << "\x93NUMPY" << '\x01' << '\0' << static_cast<char>(header.size())
      << '\0' << header;
  for (float value : values) {
    const int32_t label = static_cast<int32_t>(value);
    out.write(columns == 0 ? reinterpret_cast<const char*>(&label)
                           : reinterpret_cast<const char*>(&value),
              4);
  }
}

struct Part {
  std::vector<float> features, labels;
};

// Two rows of six are bright, which ones tells the label.
Part MakePart(const std::string& name, int count, Made made) {
  Part part;
  const uint64_t key = StreamKey(1, name);
  const bool test = name == "test";
  for (int i = 0; i < count; ++i) {
    int label = static_cast<int>(RandomBelow(key, 0, i, 3));
    if (made == kImbalanced && i % 20 != 0) label = 0;
    if (made == kMissing && !test) label = label % 2;
    for (int p = 0; p < 36; ++p) {
      float x = RandomBelow(key, 1, i * 36 + p, 1000) / 2000.0f;
      if (p / 12 == label) x += 0.5f;
      if (made == kLarge) x *= 255;
      if (made == kFaint) x = 0.5f + x * 0.01f;
      if (made == kConstant || (made == kHalfConstant && p < 18)) x = 0.25f;
      if (made == kOtherTest && test) x = x * 0.1f + 3;
      if (made == kNan && !test && i == 7 && p == 3) x = NAN;
      if (made == kSparse && p % 12 != 0) x = 0;
      part.features.push_back(x);
    }
    if (made == kShuffledLabels) {
      label = static_cast<int>(RandomBelow(key, 2, i, 3));
    }
    part.labels.push_back(label);
  }
  return part;
}

class AdviseTest : public ::testing::Test {
 protected:
  AdviseTest() {
    EXPECT_TRUE(RegisterBuiltinOps(registry_).ok());
    folder_ = ::testing::TempDir() + "/adviseXXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }

  std::string Path(const std::string& name) { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name)) << text;
  }

  void WriteData(Made made) {
    const int count = made == kFew ? 9 : made == kSparse ? 100'000 : 1200;
    Part train = MakePart("train", count, made);
    Part test = MakePart("test", 400, made);
    if (made == kShared || made == kNear) {
      std::copy(train.features.begin(), train.features.begin() + 36 * 20,
                test.features.begin());
      if (made == kNear) {
        for (int i = 0; i < 20; ++i) test.features[i * 36] += 0.001f;
      }
    }
    WriteNpy(Path("train.npy"), train.features, count, 36);
    WriteNpy(Path("train-labels.npy"), train.labels, count, 0);
    WriteNpy(Path("test.npy"), test.features, 400, 36);
    WriteNpy(Path("test-labels.npy"), test.labels, 400, 0);
  }

  // A change that changes nothing is a mistake of the test.
  std::string Changed(const std::string& text, const Changes& changes) {
    std::string result = text;
    for (const auto& change : changes) {
      EXPECT_NE(result.find(change.first), std::string::npos) << change.first;
      result = absl::StrReplaceAll(result, {{change.first, change.second}});
    }
    return result;
  }

  std::vector<Advice> Ask(const Changes& network, const Changes& recipe,
                          Made made = kGood) {
    WriteData(made);
    Write("network.pbtxt", Changed(kNetwork, network));
    Write("recipe.pbtxt", Changed(kRecipe, recipe));
    return AskAgain();
  }

  std::vector<Advice> AskAgain() {
    auto loaded = LoadRecipe(Path("recipe.pbtxt"), {}, registry_);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    if (!loaded.ok()) return {};
    recipe_ = *loaded;
    auto advice = Advise(recipe_, registry_, {});
    EXPECT_TRUE(advice.ok()) << advice.status();
    return advice.ok() ? *advice : std::vector<Advice>();
  }

  static std::set<std::string> Ids(const std::vector<Advice>& advice) {
    std::set<std::string> ids;
    for (const Advice& entry : advice) ids.insert(entry.rule.id);
    return ids;
  }

  OpRegistry registry_;
  std::string folder_;
  Recipe recipe_;
};

struct Case {
  std::string rule;
  Changes network, recipe;
  Made made = kGood;
  Severity severity = Severity::kWarning;
};

const Changes kNone;
const char kOldSolver[] = "nesterov { learning_rate: 0.02 momentum: 0.9 }";
const char kLogits[] = "[op/Dense] { units: 3 }";
const char kLoss[] = "[op/SoftmaxCrossEntropy] {}";
const char kTune[] = "epochs: 20";
const char kScratch[] = "name: \"labels\"";
const char kFresh[] = "name: \"labels\" from: \"\"";

Changes LastLayer(const std::string& text) { return {{kLogits, text}}; }
Changes Solver(const std::string& text) { return {{kOldSolver, text}}; }
Changes Tuning(const std::string& text) {
  return {{kTune, "epochs: 20 " + text}};
}
Changes Whole(const std::string& text) {
  return {{"graph_file", text + "\ngraph_file"}};
}

std::vector<Case> LossCases() {
  return {
      {"double-softmax",
       {{"output: \"logits\"",
         "node { name: \"p\" input: "
         "\"logits\" op { [op/Softmax] "
         "{} } } output: \"p\""}},
       kNone},
      {"double-sigmoid",
       LastLayer("[op/Dense] { units: 3 activation: SIGMOID }"),
       {{kLoss, "[op/SigmoidCrossEntropy] {}"}}},
      {"saturating-output",
       LastLayer("[op/Dense] { units: 3 activation: TANH }"), kNone},
      {"rectified-output",
       LastLayer("[op/Dense] { units: 3 activation: RELU }"), kNone},
      {"squared-classes", kNone, {{kLoss, "[op/MeanSquaredError] {}"}}},
      {"outputs-are-labels", LastLayer("[op/Dense] { units: 4 }"), kNone},
      {"dropped-output",
       {{"output: \"logits\"",
         "node { name: \"p\" input: \"logits\" op { "
         "[op/Dropout] {} } } output: \"p\""}},
       kNone},
      {"smoothed-labels",
       kNone,
       {{kLoss, "[op/SoftmaxCrossEntropy] { label_smoothing: 0.8 }"}}},
  };
}

std::string DeepNetwork(int layers, const std::string& activation) {
  std::string text;
  std::string from = "h2";
  for (int i = 0; i < layers; ++i) {
    text += absl::StrCat(
        "node { name: \"d", i, "\" input: \"", from,
        "\" op { [op/Dense] { units: 12 activation: ", activation, " } } }\n");
    from = absl::StrCat("d", i);
  }
  return absl::StrCat(text, "node { name: \"logits\" input: \"", from, "\"");
}

std::vector<Case> NetworkCases() {
  const char kH1[] = "units: 20 activation: SIGMOID";
  const char kEnd[] = "node { name: \"logits\" input: \"h2\"";
  const Changes scratch = {{kScratch, kFresh}};
  const auto all_small = [](const std::string& init) {
    return Changes{{"activation: SIGMOID", "activation: RELU " + init}};
  };
  return {
      {"equal-weights",
       {{kH1,
         "units: 20 activation: SIGMOID weight_init { "
         "constant { value: 0.1 } }"}},
       kNone},
      {"large-weights",
       {{kH1,
         "units: 20 activation: SIGMOID weight_init { "
         "gaussian { stddev: 3 } }"}},
       kNone},
      {"small-weights",
       all_small("weight_init { gaussian { stddev: 0.001 } }"),
       {{kScratch, kFresh},
        {"rbm {}", "masked {}"},
        {"layer { node: \"h1\" masked {} }", ""},
        {"node: \"h2\" masked", "node: \"logits\" masked"}}},
      {"init-against-activation",
       {{kH1,
         "units: 20 activation: SIGMOID "
         "weight_init { he {} }"}},
       kNone,
       kGood,
       Severity::kHint},
      {"linear-stack",
       {{"units: 12 activation: SIGMOID", "units: 12"},
        {kH1, "units: 20 activation: RELU"}},
       {{"layer { node: \"h2\" rbm {} }", ""}}},
      {"softmax-inside",
       {{"node { name: \"h2\" input: \"h1\"",
         "node { name: \"s\" input: \"h1\" op { [op/Softmax] "
         "{} } }\nnode { name: \"h2\" input: \"s\""},
        {kH1, "units: 20"}},
       {{"layer { node: \"h1\" rbm {} }", ""},
        {"layer { node: \"h2\" rbm {} }", "layer { node: \"h2\" masked {} }"}}},
      {"vanishing-depth", {{kEnd, DeepNetwork(3, "SIGMOID")}}, scratch},
      {"deep-without-shortcuts",
       {{kEnd, DeepNetwork(12, "RELU")}},
       kNone,
       kGood,
       Severity::kHint},
      {"high-dropout",
       {{kEnd,
         "node { name: \"drop\" input: \"h2\" op { "
         "[op/Dropout] { rate: 0.95 } } }\nnode { name: "
         "\"logits\" input: \"drop\""}},
       kNone},
      {"small-batch-norm",
       {{kEnd,
         "node { name: \"n\" input: \"h2\" op { "
         "[op/BatchNorm] {} } }\nnode { name: "
         "\"logits\" input: \"n\""}},
       Whole("batch_size: 4")},
  };
}

std::vector<Case> SolverCases() {
  return {
      {"high-rate", kNone,
       Solver("nesterov { learning_rate: 3 momentum: 0.9 }")},
      {"low-rate",
       kNone,
       {{kScratch, kFresh},
        {kOldSolver, "nesterov { learning_rate: 1e-7 momentum: 0.9 }"}}},
      {"gaussian-rate",
       kNone,
       {{"node: \"h1\" rbm {}", "node: \"h1\" rbm { visible: GAUSSIAN }"}}},
      {"momentum-without-nesterov", kNone,
       Solver("sgd { learning_rate: 0.02 momentum: 0.9 }"), kGood,
       Severity::kHint},
      {"no-momentum", kNone, Solver("sgd { learning_rate: 0.1 }"), kGood,
       Severity::kHint},
      {"heavy-momentum", kNone,
       Solver("nesterov { learning_rate: 0.001 momentum: 0.999 }")},
      {"strong-decay", kNone,
       Solver(absl::StrCat(kOldSolver, " weight_decay: 1"))},
      {"adam-with-l2", kNone,
       Solver("adam { learning_rate: 0.001 } weight_decay: 0.001"), kGood,
       Severity::kHint},
      {"late-warmup", kNone,
       Solver(absl::StrCat(kOldSolver, " schedule { warmup: 19 }"))},
      {"vanishing-rate", kNone,
       Solver(absl::StrCat(kOldSolver,
                           " schedule { exponential { factor: 0.1 } }"))},
      {"growing-rate", kNone,
       Solver(absl::StrCat(kOldSolver,
                           " schedule { exponential { factor: 1.3 } }"))},
      {"tiny-max-norm", kNone,
       Solver(absl::StrCat(kOldSolver, " max_norm: 0.01"))},
      {"steep-divisor", kNone,
       Solver(absl::StrCat(kOldSolver, " rate_divisor_by_depth: 30"))},
  };
}

std::vector<Case> StepCases() {
  return {
      {"large-batch", kNone, Whole("batch_size: 600")},
      {"small-batch", kNone, Whole("batch_size: 2"), kGood, Severity::kHint},
      {"few-updates", kNone, {{kScratch, kFresh}, {kTune, "epochs: 1"}}},
      {"tiny-clip", kNone, Tuning("clip_norm: 0.001")},
      {"averaging-rate", kNone,
       Whole("parallel { workers: 2 averaging {} learning_rate_correction: "
             "DIVIDE }")},
      {"scaled-rate",
       kNone,
       {{"graph_file", "parallel { workers: 30 averaging {} }\ngraph_file"}},
       kGood,
       Severity::kHint},
      {"long-period", kNone,
       Whole("parallel { workers: 2 average_every: 5000 averaging {} }"), kGood,
       Severity::kHint},
      {"crowded-cores", kNone, Whole("parallel { workers: 5000 averaging {} }"),
       kGood, Severity::kHint},
  };
}

std::vector<Case> WidthCases() {
  const char kH1[] = "units: 20";
  return {
      {"narrower-than-labels", {{"units: 12", "units: 2"}}, kNone},
      {"below-a-quarter",
       {{"units: 12", "units: 8"}},
       kNone,
       kGood,
       Severity::kHint},
      {"wider-than-input",
       {{kH1, "units: 50"}},
       {{"node: \"h1\" rbm {}", "node: \"h1\" autoencoder {}"}}},
      {"near-input-width",
       {{kH1, "units: 35"}},
       {{"node: \"h1\" rbm {}", "node: \"h1\" autoencoder {}"}},
       kGood,
       Severity::kHint},
      {"not-tapering",
       {{"units: 12", "units: 22"}},
       kNone,
       kGood,
       Severity::kHint},
  };
}

std::vector<Case> StageCases() {
  const char kTest[] =
      "test { npy { features: \"test.npy\" labels: \"test-labels.npy\" } }";
  const std::string validation =
      absl::StrCat(kTest,
                   " validation { npy { features: \"test.npy\" labels: "
                   "\"test-labels.npy\" } }");
  const auto hint = Severity::kHint;
  return {
      {"pretraining-unused", kNone, {{kScratch, kFresh}}},
      {"finetune-from-nothing", kNone, {{kScratch, kFresh}}, kGood, hint},
      {"few-passes",
       kNone,
       {{"rbm {} }\n  }", "rbm {} }\n epochs: 2 }"}},
       kGood,
       hint},
      {"adapters-without-product",
       kNone,
       {{kScratch, kFresh},
        {kTune, "epochs: 20 adapters { rank: 2 node: \"h1\" }"}}},
      {"frozen-untrained",
       kNone,
       {{kScratch, kFresh}, {kTune, "epochs: 20 freeze: \"h1\""}}},
      {"late-unfreezing", kNone, Tuning("unfreeze_every: 15")},
      {"endless-patience",
       kNone,
       {{kTune, "epochs: 20 early_stopping { patience: 50 }"},
        {kTest, std::string(kTest) + " validation_share: 0.1"}},
       kGood,
       hint},
      {"test-as-validation", kNone, {{kTest, validation}}},
      {"no-test-data", kNone, {{kTest, ""}}, kGood, hint},
  };
}

std::vector<Case> DataCases() {
  const auto hint = Severity::kHint;
  return {
      {"unreadable-data", kNone, kNone, kNan},
      {"unscaled-inputs", kNone, kNone, kLarge},
      {"faint-inputs", kNone, kNone, kFaint},
      {"constant-inputs", kNone, kNone, kConstant},
      {"constant-inputs", kNone, kNone, kHalfConstant, hint},
      {"label-imbalance", kNone, kNone, kImbalanced},
      {"missing-labels", kNone, kNone, kMissing},
      {"shared-samples", kNone, kNone, kShared},
      {"near-samples", kNone, kNone, kNear, hint},
      {"unrelated-labels", kNone, kNone, kShuffledLabels},
      {"unlike-test", kNone, kNone, kOtherTest},
      {"bernoulli-range", kNone, kNone, kLarge},
      {"gaussian-scale",
       kNone,
       {{"node: \"h1\" rbm {}", "node: \"h1\" rbm { visible: GAUSSIAN }"}}},
      {"pretrained-once", kNone, kNone, kSparse, hint},
      {"little-data", kNone, {{kScratch, kFresh}}, kFew, hint},
      {"deep-for-data",
       {{"node { name: \"logits\" input: \"h2\"", DeepNetwork(3, "RELU")}},
       {{kScratch, kFresh}},
       kFew,
       hint},
  };
}

std::vector<Case> AllCases() {
  std::vector<Case> all;
  for (const auto& list :
       {LossCases(), NetworkCases(), SolverCases(), StepCases(), WidthCases(),
        StageCases(), DataCases()}) {
    all.insert(all.end(), list.begin(), list.end());
  }
  return all;
}

TEST_F(AdviseTest, OfTheGoodRecipeNoRuleSpeaks) {
  for (const Advice& advice : Ask({}, {})) {
    ADD_FAILURE() << advice.rule.id << ": " << advice.says;
  }
}

TEST_F(AdviseTest, EachRuleSpeaksOfWhatItIsFor) {
  for (const Case& test : AllCases()) {
    SCOPED_TRACE(test.rule);
    const auto advice = Ask(test.network, test.recipe, test.made);
    const Advice* found = nullptr;
    for (const Advice& entry : advice) {
      if (entry.rule.id == test.rule && found == nullptr) found = &entry;
    }
    if (found == nullptr) {
      ADD_FAILURE() << "not among: " << absl::StrJoin(Ids(advice), " ");
      continue;
    }
    EXPECT_EQ(found->severity, test.severity);
    EXPECT_GT(found->location.line, 0);
    EXPECT_FALSE(found->says.empty());
    EXPECT_FALSE(found->mend.empty());
  }
}

TEST_F(AdviseTest, EveryRuleIsTested) {
  std::set<std::string> tested;
  for (const Case& test : AllCases()) tested.insert(test.rule);
  std::set<std::string> ids;
  for (const RuleInfo& rule : AllRules()) {
    EXPECT_TRUE(ids.insert(rule.id).second) << rule.id;
    EXPECT_TRUE(tested.count(rule.id) > 0) << rule.id;
    EXPECT_FALSE(rule.explanation.empty()) << rule.id;
    EXPECT_FALSE(rule.source.empty()) << rule.id;
  }
  EXPECT_GE(ids.size(), 35u);
}

TEST_F(AdviseTest, EveryRuleStandsInTheDocuments) {
  const auto text = ReadFile("docs/advice.md");
  ASSERT_TRUE(text.ok()) << text.status();
  for (const RuleInfo& rule : AllRules()) {
    EXPECT_NE(text->find(absl::StrCat("| `", rule.id, "` | ",
                                      SeverityName(rule.severity), " | ",
                                      rule.explanation, " | ", rule.source)),
              std::string::npos)
        << rule.id;
  }
}

TEST_F(AdviseTest, MendsSilenceTheRuleAndKeepComments) {
  int mended = 0;
  for (const Case& test : AllCases()) {
    SCOPED_TRACE(test.rule);
    const auto advice = Ask(test.network, test.recipe, test.made);
    std::vector<Advice> one;
    for (const Advice& entry : advice) {
      if (entry.rule.id == test.rule && !entry.edits.empty()) {
        one.push_back(entry);
      }
    }
    if (one.empty()) continue;
    auto texts = Mend(recipe_, registry_, one);
    ASSERT_TRUE(texts.ok()) << texts.status();
    EXPECT_GT(texts->edits, 0);
    if (!texts->recipe.empty()) {
      Write("recipe.pbtxt", texts->recipe);
      EXPECT_NE(texts->recipe.find("# as always"), std::string::npos);
    }
    if (!texts->network.empty()) Write("network.pbtxt", texts->network);
    EXPECT_EQ(Ids(AskAgain()).count(test.rule), 0u)
        << texts->recipe << texts->network;
    ++mended;
  }
  EXPECT_GE(mended, 25);
}

TEST_F(AdviseTest, IsSilencedInTheFile) {
  const Changes wide = {{"units: 12", "units: 22"}};
  EXPECT_EQ(Ids(Ask(wide, {})).count("not-tapering"), 1u);
  EXPECT_EQ(
      Ids(Ask(wide, Whole("silence { rule: \"not-tapering\" at: \"h2\" }")))
          .count("not-tapering"),
      0u);
  EXPECT_EQ(
      Ids(Ask(wide, Whole("silence { rule: \"not-tapering\" at: \"h1\" }")))
          .count("not-tapering"),
      1u);
  Write("recipe.pbtxt",
        Changed(kRecipe, Whole("silence { rule: \"not-taperin\" }")));
  auto recipe = LoadRecipe(Path("recipe.pbtxt"), {}, registry_);
  ASSERT_TRUE(recipe.ok());
  const auto status = Advise(*recipe, registry_, {}).status();
  EXPECT_NE(status.message().find("did you mean \"not-tapering\""),
            std::string::npos)
      << status;
}

TEST_F(AdviseTest, WithoutDataSaysTheRest) {
  Write("network.pbtxt", Changed(kNetwork, LastLayer("[op/Dense] { units: 3 "
                                                     "activation: RELU }")));
  Write("recipe.pbtxt", kRecipe);
  auto recipe = LoadRecipe(Path("recipe.pbtxt"), {}, registry_);
  ASSERT_TRUE(recipe.ok());
  auto advice = Advise(*recipe, registry_, {});
  ASSERT_TRUE(advice.ok());
  EXPECT_EQ(Ids(*advice).count("unreadable-data"), 1u);
  EXPECT_EQ(Ids(*advice).count("rectified-output"), 1u);
}

}  // namespace
}  // namespace tamer
