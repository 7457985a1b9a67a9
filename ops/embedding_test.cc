#include <omp.h>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/embedding.pb.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

Value Tokens(std::vector<int64_t> shape, int vocabulary, uint64_t seed) {
  Value value = Random(std::move(shape), seed, -1, vocabulary);
  value.type.dtype = DType::kInt32;
  for (float x : value.floats) {
    value.ints.push_back(static_cast<int32_t>(x + 1) - 1);
  }
  value.floats.clear();
  return value;
}

op::Embedding Embedding(int vocabulary, int width, float scale = 1) {
  op::Embedding embedding;
  embedding.set_vocabulary(vocabulary);
  embedding.set_width(width);
  if (scale != 1) embedding.set_scale(scale);
  return embedding;
}

TEST(EmbeddingTest, ValuesAndGradients) {
  for (int width : {1, 5, 33}) {
    const float scale = width == 5 ? 2.5f : 1.0f;
    const Reference reference = [&](const std::vector<Doubles>& in) {
      Doubles y;
      for (double token : in[0]) {
        for (int c = 0; c < width; ++c) {
          y.push_back(token < 0
                          ? 0
                          : scale * in[1][static_cast<int>(token) * width + c]);
        }
      }
      return std::vector<Doubles>{y};
    };
    const op::Embedding embedding = Embedding(7, width, scale);
    CheckOp(embedding, {Tokens({3, 5}, 7, 1), Random({7, width}, 2)}, {1},
            reference);
    CheckOp(embedding, {Ints({4}, {6, -1, 0, 6}), Random({7, width}, 2)}, {1},
            reference);
  }
}

TEST(EmbeddingTest, LargeTensorsOnAnyNumberOfThreads) {
  const int width = 100;
  CheckOp(Embedding(900, width),
          {Tokens({20, 50}, 900, 1), Random({900, width}, 2)}, {},
          [&](const std::vector<Doubles>& in) {
            Doubles y;
            for (double token : in[0]) {
              for (int c = 0; c < width; ++c) {
                y.push_back(
                    token < 0 ? 0 : in[1][static_cast<int>(token) * width + c]);
              }
            }
            return std::vector<Doubles>{y};
          });
}

TEST(EmbeddingTest, ATokenOutOfRangeIsNamedWithItsPlace) {
  const std::string text =
      "token 7 of sample 1, position 2, is outside the vocabulary of 7; tokens "
      "are 0 to 6, or -1 for padding";
  const Value tokens = Ints({2, 3}, {0, 6, -1, 3, 3, 7});
  EXPECT_EQ(
      RunOp(Embedding(7, 2), {tokens, Random({7, 2}, 1)}).status().message(),
      text);
  op::EmbeddingGradient gradient;
  gradient.set_vocabulary(7);
  EXPECT_EQ(RunOp(gradient, {tokens, Random({2, 3, 2}, 1)}).status().message(),
            text);
  op::Sgd sgd;
  sgd.mutable_settings()->add_product()->set_one_hot(true);
  EXPECT_EQ(RunOp(sgd, {Random({7, 2}, 1), tokens, Random({2, 3, 2}, 1),
                        Floats({}, {1})})
                .status()
                .message(),
            text);
  EXPECT_EQ(RunOp(Embedding(7, 2), {Ints({1}, {-2}), Random({7, 2}, 1)})
                .status()
                .message(),
            "token -2 of sample 0, position 0, is outside the vocabulary of 7; "
            "tokens are 0 to 6, or -1 for padding");
}

TEST(EmbeddingTest, InferErrors) {
  const TensorType tokens{DType::kInt32, Shape({-1, 4})};
  const TensorType floats{DType::kFloat, Shape({-1, 4})};
  EXPECT_EQ(InferError(Embedding(7, 2), {floats}),
            "tokens must be INT32 [B, ...], but are FLOAT [B, 4]");
  EXPECT_EQ(InferError(Embedding(0, 2), {tokens}),
            "vocabulary is 0; it must be 1 to 2147483647");
  EXPECT_EQ(InferError(Embedding(7, 0), {tokens}),
            "width is 0; it must be 1 to 16777216");
  op::EmbeddingGradient gradient;
  gradient.set_vocabulary(7);
  EXPECT_EQ(InferError(gradient, {tokens, {DType::kFloat, Shape({-1, 5, 2})}}),
            "dy must be tokens' [B, 4] and a width, but is [B, 5, 2]");
}

TEST(PositionEmbeddingTest, FromAPositionOn) {
  op::PositionEmbedding embedding;
  embedding.set_length(7);
  const Value weight = Random({7, 3}, 2);
  CheckOp(embedding, {Random({2, 2, 3}, 1), Ints({}, {4}), weight}, {},
          [](const std::vector<std::vector<double>>& in) {
            std::vector<double> y = in[0];
            for (size_t i = 0; i < y.size(); ++i) y[i] += in[2][12 + i % 6];
            return std::vector<std::vector<double>>{y};
          });
  EXPECT_EQ(RunOp(embedding, {Random({1, 2, 3}, 1), Ints({}, {6}), weight})
                .status()
                .message(),
            "positions 6 to 7 are not all among 7");
}

TEST(PositionEmbeddingTest, ValuesAndGradients) {
  for (int length : {0, 4, 6}) {
    op::PositionEmbedding embedding;
    if (length > 0) embedding.set_length(length);
    CheckOp(embedding,
            {Random({3, 4, 5}, 1), Random({length == 0 ? 4 : length, 5}, 2)},
            {0, 1}, [](const std::vector<Doubles>& in) {
              Doubles y = in[0];
              for (size_t i = 0; i < y.size(); ++i) y[i] += in[1][i % 20];
              return std::vector<Doubles>{y};
            });
  }
  op::PositionEmbedding embedding;
  embedding.set_length(3);
  EXPECT_EQ(InferError(embedding, {{DType::kFloat, Shape({-1, 4, 5})}}),
            "length is 3, but the input has 4 positions: [B, 4, 5]");
  EXPECT_EQ(InferError(embedding, {{DType::kFloat, Shape({-1, 5})}}),
            "the input must be [B, T, width], but is [B, 5]");
}

// A rule's states and what stands before them, of a [rows, columns] parameter.
struct RuleCase {
  std::unique_ptr<OpParams> rule;
  std::vector<Value> after;
};

op::UpdateSettings* SettingsOf(OpParams* rule) {
  return static_cast<op::UpdateSettings*>(rule->GetReflection()->MutableMessage(
      rule, rule->GetDescriptor()->FindFieldByName("settings")));
}

std::vector<RuleCase> AllRules(int64_t rows, int64_t columns) {
  const Value rate = Floats({}, {0.1f}), momentum = Floats({}, {0.9f});
  const auto state = [&](uint64_t seed) {
    return Random({rows, columns}, seed, 0.1f, 1);
  };
  std::vector<RuleCase> cases;
  const auto add = [&](auto rule, std::vector<Value> after) {
    cases.push_back({std::make_unique<decltype(rule)>(rule), std::move(after)});
  };
  add(op::Sgd(), {rate});
  add(op::Momentum(), {rate, momentum, state(1)});
  op::Momentum nesterov;
  nesterov.set_nesterov(true);
  add(nesterov, {rate, momentum, state(1)});
  add(op::Adam(), {rate, state(1), state(2), Ints({1}, {3})});
  add(op::RmsProp(), {rate, state(1)});
  add(op::AdaGrad(), {rate, state(1)});
  return cases;
}

// Rows of tokens that occur are as a full update makes them, to the last bit;
// with SGD and AdaGrad all are. The other rows, and their state, stay.
void CheckSparse(int64_t rows, int64_t columns,
                 const std::vector<Value>& tokens, float decay) {
  std::vector<bool> occurs(rows, false);
  std::vector<Value> factors;
  op::UpdateSettings products;
  std::vector<float> sum(rows * columns, 0);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int64_t n = tokens[i].ints.size();
    const Value dy = Random({n, columns}, 50 + i);
    products.add_product()->set_one_hot(true);
    products.mutable_product(i)->set_factor(i == 0 ? 1.0f : -0.5f);
    op::EmbeddingGradient gradient;
    gradient.set_vocabulary(rows);
    gradient.set_scale(i == 0 ? 1.0f : -0.5f);
    for (int32_t token : tokens[i].ints) {
      if (token >= 0) occurs[token] = true;
    }
    Value shaped = dy;
    shaped.type.shape = tokens[i].type.shape;
    shaped.type.shape.push_back(columns);
    const auto dense = RunOp(gradient, {tokens[i], shaped});
    ASSERT_TRUE(dense.ok()) << dense.status();
    for (size_t e = 0; e < sum.size(); ++e) {
      sum[e] += dense->outputs[0].floats[e];
    }
    factors.push_back(tokens[i]);
    factors.push_back(shaped);
  }
  const Value p = Random({rows, columns}, 9);
  for (RuleCase& test : AllRules(rows, columns)) {
    const std::string name = test.rule->GetDescriptor()->name();
    SCOPED_TRACE(name);
    SettingsOf(test.rule.get())->set_weight_decay(decay);
    std::vector<Value> inputs = {p, Floats({rows, columns}, sum)};
    inputs.insert(inputs.end(), test.after.begin(), test.after.end());
    const auto dense = RunOp(*test.rule, inputs);
    ASSERT_TRUE(dense.ok()) << dense.status();
    SettingsOf(test.rule.get())->MergeFrom(products);
    inputs = {p};
    inputs.insert(inputs.end(), factors.begin(), factors.end());
    inputs.insert(inputs.end(), test.after.begin(), test.after.end());
    const bool exact = decay == 0 && (name == "Sgd" || name == "AdaGrad");
    const int before = omp_get_max_threads();
    for (int threads : {1, 2, 3}) {
      omp_set_num_threads(threads);
      const auto sparse = RunOp(*test.rule, inputs);
      ASSERT_TRUE(sparse.ok()) << sparse.status();
      for (size_t i = 0; i < inputs.size(); ++i) {
        const bool factor = i > 0 && i <= factors.size();
        const Value& seen = sparse->inputs[i];
        if (factor || seen.type.shape.rank() == 0) continue;
        const Value& full = dense->inputs[i == 0 ? 0 : i - factors.size() + 1];
        ASSERT_EQ(seen.ints, full.ints);
        for (size_t e = 0; e < seen.floats.size(); ++e) {
          const bool touched = exact || occurs[e / columns];
          const float want = touched ? full.floats[e] : inputs[i].floats[e];
          // With several terms the sums' orders differ.
          ASSERT_NEAR(seen.floats[e], want, tokens.size() == 1 ? 0 : 1e-5)
              << "input " << i << ", row " << e / columns;
        }
      }
    }
    omp_set_num_threads(before);
  }
}

TEST(SparseUpdateTest, TouchesTheRowsThatOccurAsAFullUpdateDoes) {
  for (float decay : {0.0f, 0.1f}) {
    CheckSparse(5, 16, {Ints({4}, {1, 3, 1, -1})}, decay);
    CheckSparse(1, 16, {Ints({2}, {0, 0})}, decay);
    CheckSparse(3, 32, {Ints({2}, {-1, -1})}, decay);
    CheckSparse(300, 64, {Tokens({10, 20}, 300, 3)}, decay);
    CheckSparse(70000, 16, {Tokens({10, 200}, 70000, 3)}, decay);
    CheckSparse(300, 176, {Tokens({100, 7}, 300, 3), Tokens({9}, 300, 4)},
                decay);
  }
}

TEST(SparseUpdateTest, InferErrors) {
  op::Sgd rule;
  rule.mutable_settings()->add_product()->set_one_hot(true);
  const auto type = [](std::vector<int64_t> dims) {
    return TensorType{DType::kFloat, Shape(std::move(dims))};
  };
  const TensorType tokens{DType::kInt32, Shape({-1, 4})};
  EXPECT_EQ(
      InferError(rule, {type({7, 2}), tokens, type({-1, 5, 2}), type({})}),
      "INT32 tokens [n] and b [n, width] change a parameter [vocabulary, "
      "width], but these are INT32 [B, 4], [B, 5, 2] and [7, 2]");
  rule.mutable_settings()->set_max_norm(1);
  EXPECT_EQ(
      InferError(rule, {type({7, 2}), tokens, type({-1, 4, 2}), type({})}),
      "max_norm goes with no one_hot product: it needs all rows");
}

}  // namespace
}  // namespace tamer
