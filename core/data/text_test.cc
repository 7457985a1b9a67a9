#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "core/base/random.h"
#include "core/data/dataset.h"
#include "core/data/loader.h"
#include "core/data/tokens.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ints = std::vector<int32_t>;

class TextTest : public ::testing::Test {
 protected:
  TextTest() {
    std::string pattern = ::testing::TempDir() + "/textXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
    source_.mutable_text()->set_context(4);
  }
  ~TextTest() override {
    EXPECT_EQ(std::system(("rm -rf " + folder_).c_str()), 0);
  }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << content;
  }
  std::shared_ptr<const Dataset> Read() {
    auto data = ReadDataset(source_, folder_);
    EXPECT_TRUE(data.ok()) << data.status();
    return data.ok() ? *data : nullptr;
  }
  std::string Error() {
    return std::string(ReadDataset(source_, folder_).status().message());
  }
  TextSource& text() { return *source_.mutable_text(); }

  std::string folder_;
  DataSource source_;
};

TEST_F(TextTest, ARunningTextIsCutInContextsThatOverlapByOneToken) {
  Write("a", "abcde");
  Write("b", "fgh\xff");
  text().add_file("a");
  text().add_file("b");
  auto data = Read();
  EXPECT_EQ(data->sample_shape, Shape({4}));
  EXPECT_EQ(data->dtype, DType::kInt32);
  EXPECT_EQ(data->tokens,
            (Ints{'a', 'b', 'c', 'd', 'd', 'e', 'f', 'g', 'g', 'h', 255, -1}));
  EXPECT_EQ(data->lengths, (Ints{4, 4, 3}));
  EXPECT_TRUE(data->labels.empty());
  // A text that ends with a context leaves no context of one token.
  Write("b", "fg");
  EXPECT_EQ(Read()->size, 2);
  source_.set_limit(1);
  source_.set_skip(1);
  EXPECT_EQ(Read()->tokens, (Ints{'d', 'e', 'f', 'g'}));
  source_.set_skip(2);
  EXPECT_THAT(Error(), HasSubstr("skip is 2, but there are only 2 samples"));
}

TEST_F(TextTest, EachTokenButTheFirstIsTheTargetOfOne) {
  std::string all;
  for (int i = 0; i < 1000; ++i)
    all += static_cast<char>(RandomBelow(7, 0, i, 256));
  Write("a", all);
  text().add_file("a");
  for (int context : {2, 3, 7, 128, 999, 1000, 1001}) {
    text().set_context(context);
    const auto data = Read();
    std::string told;
    for (int64_t i = 0; i < data->size; ++i) {
      for (int64_t t = 1; t < data->lengths[i]; ++t) {
        told += static_cast<char>(data->tokens[i * context + t]);
      }
    }
    EXPECT_EQ(told, all.substr(1)) << context;
  }
}

TEST_F(TextTest, AFileAClass) {
  Write("good", "fine\r\nvery good\n\nok");
  Write("bad", "no\n");
  TextClass* good = text().add_class_();
  good->set_name("good");
  good->add_file("good");
  TextClass* bad = text().add_class_();
  bad->set_name("bad");
  bad->add_file("bad");
  const auto data = Read();
  EXPECT_EQ(data->labels, (Ints{0, 1, 0, 0}));
  EXPECT_EQ(data->lengths, (Ints{4, 2, 4, 2}));
  EXPECT_EQ(Ints(data->tokens.begin() + 4, data->tokens.begin() + 12),
            (Ints{'n', 'o', -1, -1, 'v', 'e', 'r', 'y'}));
  EXPECT_THAT(data->class_names, ElementsAre("good", "bad"));
  source_.set_limit(2);
  EXPECT_EQ(Read()->labels, (Ints{0, 1}));
  bad->clear_file();
  EXPECT_THAT(Error(), HasSubstr("class 1 needs a name and a file"));
}

TEST_F(TextTest, AFolderAClass) {
  for (const char* name : {"/b", "/a", "/.hidden"}) {
    mkdir((folder_ + name).c_str(), 0777);
  }
  Write("b/1", "xy");
  Write("a/2", "q\n");
  Write("a/1", "p");
  Write("stray", "not in a class");
  text().set_folder(folder_);
  const auto data = Read();
  EXPECT_THAT(data->class_names, ElementsAre("a", "b"));
  EXPECT_EQ(data->labels, (Ints{0, 1, 0}));
  EXPECT_EQ(data->tokens[0], 'p');
  EXPECT_EQ(data->lengths, (Ints{1, 2, 2}));
  text().set_folder("none");
  EXPECT_THAT(Error(), HasSubstr("none: No such file"));
  text().set_folder("a");
  EXPECT_THAT(Error(), HasSubstr("there is no subfolder in it"));
}

TEST_F(TextTest, ATableOfTextsAndLabels) {
  Write("t.tsv", "text\tlabel\nhello\tyes\n\"so\tno\r\n\nagain\tyes\n");
  text().mutable_table()->set_file("t.tsv");
  text().mutable_table()->set_header(true);
  auto data = Read();
  EXPECT_THAT(data->class_names, ElementsAre("no", "yes"));
  EXPECT_EQ(data->labels, (Ints{1, 0, 1}));
  EXPECT_EQ(data->tokens[4], '"');
  Write("t.csv", "3,\"a, \"\"b\"\"\nc\"\n10,d\n");
  text().clear_table();
  text().mutable_table()->set_file("t.csv");
  text().mutable_table()->set_separator(",");
  text().mutable_table()->set_text_column(-1);
  text().mutable_table()->set_label_column(0);
  text().set_context(10);
  data = Read();
  EXPECT_EQ(data->labels, (Ints{3, 10}));
  EXPECT_TRUE(data->class_names.empty());
  EXPECT_EQ(data->lengths, (Ints{8, 1}));
  const auto tokens = MakeTokens("");
  Ints ids(data->tokens.begin(), data->tokens.begin() + 10);
  EXPECT_EQ(*(*tokens)->Decode(ids), "a, \"b\"\nc");
}

TEST_F(TextTest, FaultsAreTold) {
  EXPECT_THAT(Error(),
              HasSubstr("one of file, class, table and folder, but has none"));
  text().add_file("x");
  EXPECT_THAT(Error(), HasSubstr("x: No such file"));
  text().set_folder("y");
  EXPECT_THAT(Error(), HasSubstr("has file and folder"));
  text().clear_folder();
  Write("x", "1");
  EXPECT_THAT(Error(), HasSubstr("a text of 1 tokens is too short"));
  text().set_context(1);
  EXPECT_THAT(Error(), HasSubstr("context is 1; it must be 2 to 1048576"));
  text().set_context(4);
  text().clear_file();
  TextTable* table = text().mutable_table();
  table->set_file("t");
  const std::pair<std::string, std::string> faults[] = {
      {"a\n", "t:1: text and label are both column 0"},
      {"a\tb\nc\t \n", "t:2: the label is empty"},
      {"", "there is no text in it"},
  };
  for (const auto& fault : faults) {
    Write("t", fault.first);
    EXPECT_THAT(Error(), HasSubstr(fault.second));
  }
  table->set_label_column(3);
  Write("t", "a\tb\n");
  EXPECT_THAT(Error(),
              HasSubstr("t:1: label_column 3 is not one of 2 columns"));
  table->set_separator(",");
  Write("t", "ab,c\n\"never\n");
  table->set_label_column(1);
  EXPECT_THAT(Error(), HasSubstr("t:2: a quoted text never ends"));
}

TEST_F(TextTest, ClassesGoByName) {
  auto data = std::make_shared<Dataset>();
  data->size = 3;
  data->labels = {0, 1, 0};
  data->class_names = {"cat", "eel"};
  const auto same = WithClasses(data, {"ant", "cat", "dog", "eel"});
  ASSERT_TRUE(same.ok());
  EXPECT_EQ((*same)->labels, (Ints{1, 3, 1}));
  EXPECT_THAT(std::string(WithClasses(data, {"cat", "els"}).status().message()),
              HasSubstr("no class \"eel\"; did you mean \"els\"?"));
  EXPECT_EQ(*WithClasses(data, {}), data);
}

// Tokens, labels a step and lengths arrive together, through split and loader.
TEST_F(TextTest, TheLoaderHandsTokensOverUnscaled) {
  auto data = std::make_shared<Dataset>();
  data->size = 23;
  data->sample_shape = Shape({3});
  data->dtype = DType::kInt32;
  data->labels_per_sample = 3;
  for (int i = 0; i < 69; ++i) {
    data->tokens.push_back(i * 7 + 16777217);  // no float
    data->labels.push_back(i % 3 == 2 ? -1 : i);
    if (i % 3 == 0) data->lengths.push_back(i / 3 % 4);
  }
  const SplitResult split = RandomSplit(*data, 0.3, 1);
  EXPECT_EQ(split.part->size, 7);
  EXPECT_EQ(split.part->labels.size(), 21);
  for (bool prefetch : {false, true}) {
    LoaderOptions options;
    options.batch = 5;
    options.prefetch = prefetch;
    Loader loader(split.rest, FeatureScaling::Fit(UNIT, *data), options);
    for (int b = 0; b < 10; ++b) {
      const Batch& batch = loader.Next();
      EXPECT_EQ(batch.features, nullptr);
      EXPECT_EQ(batch.length, 0);
      for (int64_t k = 0; k < batch.size; ++k) {
        const int32_t first = (batch.tokens[k * 3] - 16777217) / 7;
        EXPECT_EQ(batch.tokens[k * 3 + 2], (first + 2) * 7 + 16777217);
        EXPECT_EQ(batch.labels[k * 3], first);
        EXPECT_EQ(batch.labels[k * 3 + 2], -1);
        EXPECT_EQ(batch.lengths[k], first / 3 % 4);
      }
    }
  }
}

TEST_F(TextTest, PiecesRestoreTheirText) {
  std::string text;
  const char* words[] = {"the ", "theory ", "of\n", "  other\tthings ", "ü€ "};
  for (int i = 0; i < 2000; ++i) text += words[RandomBelow(1, 0, i, 5)];
  Write("a", text);
  const auto model = TrainPieces({folder_ + "/a"}, 300);
#ifdef TAMER_SANITIZED
  EXPECT_FALSE(model.ok());
  GTEST_SKIP();
#endif
  ASSERT_TRUE(model.ok()) << model.status();
  Write("a.model", *model);
  this->text().add_file("a");
  this->text().set_pieces("a.model");
  this->text().set_context(64);
  const auto data = Read();
  EXPECT_EQ(data->pieces, *model);
  const auto tokens = MakeTokens(data->pieces);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_LE((*tokens)->vocabulary(), 300);
  Ints ids = {data->tokens[0]};
  for (int64_t i = 0; i < data->size; ++i) {
    const auto begin = data->tokens.begin() + i * 64;
    ids.insert(ids.end(), begin + 1, begin + 64);
  }
  EXPECT_LT(ids.size(), text.size() / 2);
  EXPECT_EQ(*(*tokens)->Decode(ids), text);
  const std::string odd = " \n\n x\r\n \x01 never seen: \xe4\xb8\xad";
  ids.clear();
  ASSERT_TRUE((*tokens)->Encode(odd, 0, &ids).ok());
  EXPECT_EQ(*(*tokens)->Decode(ids), odd);
  const size_t all = ids.size();
  ids.assign(1, 5);
  ASSERT_TRUE((*tokens)->Encode(odd, 3, &ids).ok());
  EXPECT_EQ(ids.size(), 4);
  EXPECT_GT(all, 4);
  EXPECT_FALSE((*tokens)->Decode({1 << 20}).ok());
}

TEST_F(TextTest, FaultsOfPiecesAreTold) {
  Write("a", "some text\n");
  text().add_file("a");
  text().set_pieces("a.model");
  EXPECT_THAT(Error(), HasSubstr("a.model: No such file or directory; make it "
                                 "from the training text by: tamer tokens"));
  EXPECT_THAT(std::string(TrainPieces({"a"}, 257).status().message()),
              HasSubstr("vocabulary is 257; it must be 258 to"));
  EXPECT_FALSE(TrainPieces({folder_ + "/none"}, 300).ok());
#ifndef TAMER_SANITIZED
  for (int round = 0; round < 20; ++round) {
    std::string junk;
    for (int i = 0; i < round * 10; ++i) {
      junk += static_cast<char>(RandomBelow(5, round, i, 256));
    }
    Write("a.model", junk);
    EXPECT_THAT(Error(), HasSubstr("a.model"));
  }
#endif
}

TEST_F(TextTest, AnythingIsAText) {
  for (int round = 0; round < 300; ++round) {
    std::string junk;
    const int64_t size = RandomBelow(3, round, 0, 60);
    for (int64_t i = 0; i < size; ++i) {
      const char common[] = "a\t,\"\n\r1";
      const uint64_t kind = RandomBelow(3, round, 2 * i + 1, 10);
      junk += kind < 7
                  ? common[kind]
                  : static_cast<char>(RandomBelow(3, round, 2 * i + 2, 256));
    }
    Write("junk", junk);
    text().Clear();
    text().set_context(5);
    if (round % 3 == 0) {
      text().add_file("junk");
    } else {
      text().mutable_table()->set_file("junk");
      text().mutable_table()->set_separator(round % 3 == 1 ? "," : "\t");
    }
    const auto data = ReadDataset(source_, folder_);
    if (!data.ok()) continue;
    EXPECT_EQ((*data)->tokens.size(), (*data)->size * 5);
    EXPECT_EQ((*data)->lengths.size(), (*data)->size);
  }
}

}  // namespace
}  // namespace tamer
