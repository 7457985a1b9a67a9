#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "core/base/allocation_counter.h"
#include "core/data/dataset.h"
#include "core/data/loader.h"
#include "core/data/write.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

class DataTest : public ::testing::Test {
 protected:
  DataTest() {
    std::string pattern = ::testing::TempDir() + "/dataXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
  }
  ~DataTest() override {
    EXPECT_EQ(std::system(("rm -rf " + folder_).c_str()), 0);
  }
  std::string Path(const std::string& name) { return folder_ + "/" + name; }

  std::string folder_;
};

// Three samples of two bytes, labels 0, 1, 2.
const char kImages[] = "\0\0\x08\x03\0\0\0\3\0\0\0\1\0\0\0\2\0\xff\1\2\3\4";
const char kLabels[] = "\0\0\x08\x01\0\0\0\3\0\1\2";

TEST_F(DataTest, IdxPlainAndGzippedAreTheSame) {
  std::ofstream(Path("images")).write(kImages, sizeof(kImages) - 1);
  gzFile file = gzopen(Path("labels.gz").c_str(), "wb");
  gzwrite(file, kLabels, sizeof(kLabels) - 1);
  gzclose(file);
  DataSource source;
  source.mutable_idx()->set_images("images");
  source.mutable_idx()->set_labels("labels.gz");
  const auto data = ReadDataset(source, folder_);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->size, 3);
  EXPECT_EQ((*data)->sample_shape, Shape({1, 2}));
  EXPECT_EQ((*data)->bytes, (std::vector<uint8_t>{0, 255, 1, 2, 3, 4}));
  EXPECT_EQ((*data)->labels, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ((*data)->classes(), 3);
  source.set_limit(2);
  EXPECT_EQ((*ReadDataset(source, folder_))->labels,
            (std::vector<int32_t>{0, 1}));
  source.set_skip(1);
  source.set_limit(1);
  const auto middle = ReadDataset(source, folder_);
  EXPECT_EQ((*middle)->labels, std::vector<int32_t>{1});
  EXPECT_EQ((*middle)->bytes, (std::vector<uint8_t>{1, 2}));
  source.set_skip(3);
  EXPECT_NE(ReadDataset(source, folder_)
                .status()
                .message()
                .find("skip is 3, but there are only 3 samples"),
            std::string::npos);
}

TEST_F(DataTest, FashionMnistWholeWhereInstalled) {
  const std::string folder = "/usr/share/datasets/fashion-mnist";
  DataSource source;
  source.mutable_idx()->set_images("train-images-idx3-ubyte.gz");
  source.mutable_idx()->set_labels("train-labels-idx1-ubyte.gz");
  const auto data = ReadDataset(source, folder);
  if (data.status().code() == absl::StatusCode::kNotFound) GTEST_SKIP();
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->size, 60000);
  EXPECT_EQ((*data)->classes(), 10);
}

TEST_F(DataTest, AMissingKnownFileNamesTheCommand) {
  DataSource source;
  source.mutable_idx()->set_images("mnist/train-images-idx3-ubyte");
  EXPECT_NE(ReadDataset(source, folder_)
                .status()
                .message()
                .find("; bring it by: tools/fetch_data mnist"),
            std::string::npos);
  source.mutable_idx()->set_images("fashion-mnist/train-images-idx3-ubyte.gz");
  EXPECT_NE(ReadDataset(source, folder_)
                .status()
                .message()
                .find("; bring it by: tools/fetch_data fashion-mnist"),
            std::string::npos);
}

TEST_F(DataTest, CsvWithHeaderSeparatorAndLineEnds) {
  std::ofstream(Path("d.csv")) << "label;a;b\r\n1;0.5;-2\r\n\r\n0;1e2; 3\r\n";
  DataSource source;
  source.mutable_csv()->set_file("d.csv");
  source.mutable_csv()->set_header(true);
  source.mutable_csv()->set_separator(";");
  source.mutable_csv()->set_label_column(0);
  const auto data = ReadDataset(source, folder_);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->floats, (std::vector<float>{0.5f, -2, 100, 3}));
  EXPECT_EQ((*data)->labels, (std::vector<int32_t>{1, 0}));
}

TEST_F(DataTest, NpyThatIsWrittenIsRead) {
  const std::vector<float> values = {1, 2.5f, -3, 4, 5, 6e-20f};
  ASSERT_TRUE(WriteNpy(Path("a.npy"), values.data(), 2, 3).ok());
  DataSource source;
  source.mutable_npy()->set_features("a.npy");
  const auto data = ReadDataset(source, folder_);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->floats, values);
  EXPECT_EQ((*data)->sample_shape, Shape({3}));
  EXPECT_TRUE((*data)->labels.empty());
}

TEST_F(DataTest, CsvThatIsWrittenIsExact) {
  const std::vector<float> values = {0.1f, 1.0f / 3, 1e-30f, 7};
  ASSERT_TRUE(WriteCsv(Path("a.csv"), {"x", "y"}, values.data(), 2, 2).ok());
  std::ifstream in(Path("a.csv"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}),
            "x,y\n0.1,0.33333334\n1e-30,7\n");
  EXPECT_NE(WriteCsv("/proc/none/a.csv", {"x"}, values.data(), 1, 1)
                .message()
                .find("cannot write"),
            std::string::npos);
}

std::shared_ptr<Dataset> Numbered(int64_t size, int64_t width) {
  auto data = std::make_shared<Dataset>();
  data->size = size;
  data->sample_shape = Shape({width});
  data->dtype = DType::kFloat;
  for (int64_t i = 0; i < size; ++i) {
    data->labels.push_back(static_cast<int32_t>(i));
    for (int64_t c = 0; c < width; ++c) {
      data->floats.push_back(static_cast<float>(i * 10 + c));
    }
  }
  return data;
}

TEST_F(DataTest, StandardizedFeaturesHaveMeanZeroAndVarianceOne) {
  auto data = Numbered(50, 3);
  for (int64_t i = 0; i < 50; ++i) data->floats[i * 3 + 2] = 7;  // constant
  const FeatureScaling scaling = FeatureScaling::Fit(STANDARDIZE, *data);
  double sum = 0, squares = 0;
  float out[3];
  for (int64_t i = 0; i < 50; ++i) {
    scaling.Apply(*data, i, out);
    sum += out[0];
    squares += out[0] * out[0];
    EXPECT_EQ(out[2], 0);
  }
  EXPECT_NEAR(sum, 0, 1e-4);
  EXPECT_NEAR(squares / 50, 1, 1e-4);
}

TEST_F(DataTest, UnitScalesBytesOnly) {
  auto data = std::make_shared<Dataset>();
  data->size = 1;
  data->sample_shape = Shape({3});
  data->bytes = {0, 51, 255};
  float out[3];
  FeatureScaling::Fit(UNIT, *data).Apply(*data, 0, out);
  EXPECT_FLOAT_EQ(out[1], 0.2f);
  EXPECT_FLOAT_EQ(out[2], 1);
  FeatureScaling::Fit(RAW, *data).Apply(*data, 0, out);
  EXPECT_EQ(out[2], 255);
  EXPECT_EQ(FeatureScaling::Fit(UNIT, *Numbered(2, 3)).factor[0], 1);
}

TEST_F(DataTest, ASplitIsAPartition) {
  const auto data = Numbered(101, 2);
  const SplitResult split = RandomSplit(*data, 0.2, 5);
  EXPECT_EQ(split.part->size, 20);
  EXPECT_EQ(split.rest->size, 81);
  std::vector<int32_t> all = split.part->labels;
  all.insert(all.end(), split.rest->labels.begin(), split.rest->labels.end());
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, data->labels);
  EXPECT_EQ(split.part->labels, RandomSplit(*data, 0.2, 5).part->labels);
  EXPECT_NE(split.part->labels, RandomSplit(*data, 0.2, 6).part->labels);
}

// Labels of the batches of two epochs and a bit.
std::vector<int32_t> Labels(const LoaderOptions& options, int batches) {
  Loader loader(Numbered(103, 4), FeatureScaling(), options);
  std::vector<int32_t> labels;
  for (int i = 0; i < batches; ++i) {
    const Batch& batch = loader.Next();
    for (int64_t k = 0; k < batch.size; ++k) {
      labels.push_back(batch.labels[k]);
      EXPECT_EQ(batch.features[k * 4 + 1], batch.labels[k] * 10 + 1);
    }
    EXPECT_EQ(batch.last_in_epoch, batch.size == 3);
  }
  return labels;
}

TEST_F(DataTest, EachSampleOnceAnEpochInAnOrderOfItsOwn) {
  LoaderOptions options;
  const std::vector<int32_t> labels = Labels(options, 22);
  std::vector<int32_t> first(labels.begin(), labels.begin() + 103);
  std::vector<int32_t> second(labels.begin() + 103, labels.end());
  EXPECT_NE(first, second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  for (int i = 0; i < 103; ++i) {
    EXPECT_EQ(first[i], i);
    EXPECT_EQ(second[i], i);
  }
}

TEST_F(DataTest, PrefetchingAndResumingChangeNothing) {
  LoaderOptions options;
  options.prefetch = false;
  const std::vector<int32_t> whole = Labels(options, 22);
  options.prefetch = true;
  EXPECT_EQ(whole, Labels(options, 22));
  options.first_batch = 7;
  const std::vector<int32_t> rest = Labels(options, 15);
  EXPECT_EQ(rest, std::vector<int32_t>(whole.begin() + 70, whole.end()));
  options.first_batch = 11;  // the end of an epoch
  const std::vector<int32_t> second = Labels(options, 11);
  EXPECT_EQ(second, std::vector<int32_t>(whole.begin() + 103, whole.end()));
  options.first_batch = 0;
  options.shuffle = false;
  EXPECT_EQ(Labels(options, 1)[9], 9);
}

TEST_F(DataTest, TakingBatchesAllocatesNothing) {
  for (bool prefetch : {false, true}) {
    LoaderOptions options;
    options.prefetch = prefetch;
    Loader loader(Numbered(1003, 40), FeatureScaling(), options);
    loader.Next();
    const int64_t before = OwnAllocations();
    for (int i = 0; i < 500; ++i) loader.Next();
    EXPECT_EQ(OwnAllocations(), before) << "prefetch " << prefetch;
  }
}

}  // namespace
}  // namespace tamer
