#include <algorithm>
#include <set>

#include "core/base/allocation_counter.h"
#include "core/base/random.h"
#include "core/data/loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kSteps = 50;

// Sequences of 1 to 50 steps of two numbers: 1000 * sample + step, and minus
// that.
std::shared_ptr<Dataset> Sequences(int64_t size) {
  auto data = std::make_shared<Dataset>();
  data->size = size;
  data->sample_shape = Shape({kSteps, 2});
  data->dtype = DType::kFloat;
  data->labels_per_sample = kSteps;
  for (int64_t i = 0; i < size; ++i) {
    const auto length = static_cast<int32_t>(1 + RandomBelow(4, 0, i, kSteps));
    data->lengths.push_back(length);
    for (int64_t t = 0; t < kSteps; ++t) {
      const float value = t < length ? static_cast<float>(i * 1000 + t) : 0;
      data->floats.push_back(value);
      data->floats.push_back(-value);
      data->labels.push_back(t < length ? static_cast<int32_t>(t) : -1);
    }
  }
  return data;
}

LoaderOptions Options() {
  LoaderOptions options;
  options.batch = 10;
  options.buckets = 4;
  return options;
}

TEST(BucketsTest, LengthsAreQuantilesInWholeVectors) {
  auto data = Sequences(1000);
  EXPECT_THAT(BucketLengths(*data, 4), ElementsAre(16, 32, 40, 0));
  EXPECT_THAT(BucketLengths(*data, 1), ElementsAre(0));
  data->lengths.assign(1000, kSteps);
  EXPECT_THAT(BucketLengths(*data, 4), ElementsAre(0));
  data->lengths.assign(1000, 0);
  EXPECT_THAT(BucketLengths(*data, 4), ElementsAre(8, 0));
  data->lengths.clear();
  EXPECT_THAT(BucketLengths(*data, 4), ElementsAre(0));
}

TEST(BucketsTest, EachSampleOnceAnEpochWithAllItsSteps) {
  const auto data = Sequences(1003);
  Loader loader(data, FeatureScaling(), Options());
  ASSERT_EQ(loader.batches_per_epoch(), 101);
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::set<int64_t> seen, lengths;
    int64_t steps = 0;
    for (int b = 0; b < 101; ++b) {
      const Batch& batch = loader.Next();
      EXPECT_EQ(batch.size, b == 100 ? 3 : 10);
      EXPECT_EQ(batch.last_in_epoch, b == 100);
      lengths.insert(batch.length);
      const int64_t length = batch.length > 0 ? batch.length : kSteps;
      steps += length * batch.size;
      for (int64_t k = 0; k < batch.size; ++k) {
        const float* sample = batch.features + k * length * 2;
        const auto row = static_cast<int64_t>(sample[0] / 1000);
        EXPECT_TRUE(seen.insert(row).second);
        ASSERT_EQ(batch.lengths[k], data->lengths[row]);
        ASSERT_LE(batch.lengths[k], length);
        for (int64_t t = 0; t < length; ++t) {
          const bool inside = t < batch.lengths[k];
          EXPECT_EQ(sample[2 * t], inside ? row * 1000 + t : 0);
          EXPECT_EQ(sample[2 * t + 1], -sample[2 * t]);
          EXPECT_EQ(batch.labels[k * length + t], inside ? t : -1);
        }
      }
    }
    EXPECT_EQ(seen.size(), 1003u);
    EXPECT_EQ(lengths, (std::set<int64_t>{0, 16, 32, 40}));
    // Padding is a quarter of what it would be.
    EXPECT_LT(steps, 1003 * kSteps * 0.72);
  }
}

std::vector<float> Taken(const std::shared_ptr<const Dataset>& data,
                         const LoaderOptions& options, int batches) {
  Loader loader(data, FeatureScaling(), options);
  std::vector<float> all;
  for (int i = 0; i < batches; ++i) {
    const Batch& batch = loader.Next();
    const int64_t length = batch.length > 0 ? batch.length : kSteps;
    all.push_back(static_cast<float>(length));
    for (int64_t k = 0; k < batch.size; ++k) {
      all.push_back(batch.features[k * length * 2]);
    }
  }
  return all;
}

TEST(BucketsTest, PrefetchingAndResumingChangeNothing) {
  const auto data = Sequences(203);
  LoaderOptions options = Options();
  const auto whole = Taken(data, options, 42);
  options.prefetch = true;
  EXPECT_EQ(Taken(data, options, 42), whole);
  options.first_batch = 30;
  const auto rest = Taken(data, options, 12);
  EXPECT_TRUE(std::equal(rest.begin(), rest.end(), whole.end() - rest.size()));
  options.first_batch = 0;
  options.first_epoch = 1;
  const auto second = Taken(data, options, 21);
  EXPECT_TRUE(
      std::equal(second.begin(), second.end(), whole.end() - second.size()));
  EXPECT_FALSE(std::equal(second.begin(), second.end(), whole.begin()));
}

TEST(BucketsTest, MinibatchesOfAllLengthsAreMixed) {
  const auto data = Sequences(1000);
  Loader loader(data, FeatureScaling(), Options());
  std::set<int64_t> early;
  for (int i = 0; i < 20; ++i) early.insert(loader.Next().length);
  EXPECT_EQ(early.size(), 4u);
}

TEST(BucketsTest, TakingBatchesAllocatesNothing) {
  Loader loader(Sequences(203), FeatureScaling(), Options());
  loader.Next();
  const int64_t before = OwnAllocations();
  for (int i = 0; i < 100; ++i) loader.Next();
  EXPECT_EQ(OwnAllocations(), before);
}

}  // namespace
}  // namespace tamer
