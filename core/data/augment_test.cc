#include "core/data/augment.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/allocation_counter.h"
#include "core/base/random.h"
#include "core/data/loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<Dataset> Pictures(int64_t size, Shape shape) {
  auto data = std::make_shared<Dataset>();
  data->size = size;
  data->sample_shape = std::move(shape);
  data->bytes.resize(size * data->sample_elements());
  for (size_t i = 0; i < data->bytes.size(); ++i) {
    data->bytes[i] = static_cast<uint8_t>(1 + RandomBelow(1, 2, i, 250));
    if (i % data->sample_elements() == 0) {
      data->labels.push_back(static_cast<int32_t>(data->labels.size()));
    }
  }
  return data;
}

std::vector<float> Apply(const AugmentDef& def, const Dataset& data,
                         int64_t row, int64_t epoch) {
  const auto made = Augmenter::Make(def, data);
  EXPECT_TRUE(made.ok()) << made.status();
  std::vector<float> scratch((*made)->scratch_floats());
  std::vector<float> out(data.sample_elements());
  (*made)->Apply(data, row, 99, epoch, FeatureScaling(), scratch.data(),
                 out.data());
  return out;
}

TEST(AugmentTest, AMirroredPictureIsTheMirrorImage) {
  const auto data = Pictures(1, Shape({2, 3, 5}));
  for (bool vertical : {false, true}) {
    AugmentDef def;
    def.mutable_flip()->set_probability(1);
    def.mutable_flip()->set_vertical(vertical);
    for (bool turned : {false, true}) {
      if (turned) def.mutable_rotate()->set_degrees(0);
      const auto out = Apply(def, *data, 0, 0);
      for (int c = 0; c < 2; ++c) {
        for (int y = 0; y < 3; ++y) {
          for (int x = 0; x < 5; ++x) {
            const int from =
                c * 15 + (vertical ? 2 - y : y) * 5 + (vertical ? x : 4 - x);
            EXPECT_NEAR(out[c * 15 + y * 5 + x], data->bytes[from], 1e-3);
          }
        }
      }
    }
  }
}

// Every move comes, each as often as others, and is what it says.
TEST(AugmentTest, MovesAreEvenlySpreadAndFilledAsSaid) {
  const auto data = Pictures(1, Shape({4, 6}));
  for (int way = 0; way < 8; ++way) {
    const bool crop = way % 2 == 1, flip = way / 2 % 2 == 1, turned = way >= 4;
    AugmentDef def;
    if (crop) {
      def.mutable_crop()->set_padding(2);
    } else {
      def.mutable_shift()->set_pixels(2);
    }
    if (flip) def.mutable_flip()->set_probability(1);
    if (turned) def.mutable_rotate()->set_degrees(0);
    std::map<std::pair<int, int>, int> seen;
    for (int epoch = 0; epoch < 1000; ++epoch) {
      const auto out = Apply(def, *data, 0, epoch);
      int found = 0;
      for (int down = -2; down <= 2; ++down) {
        for (int right = -2; right <= 2; ++right) {
          bool fits = true;
          for (int i = 0; i < 24; ++i) {
            int y = i / 6 - down, x = (flip ? 5 - i % 6 : i % 6) - right;
            const bool outside = y < 0 || y > 3 || x < 0 || x > 5;
            y = std::min(std::max(y, 0), 3);
            x = std::min(std::max(x, 0), 5);
            const float wanted = crop && outside ? 0 : data->bytes[y * 6 + x];
            fits = fits && std::abs(out[i] - wanted) < 1e-3;
          }
          if (fits) ++seen[{down, right}];
          found += fits;
        }
      }
      ASSERT_EQ(found, 1) << "way " << way << ", epoch " << epoch;
    }
    EXPECT_EQ(seen.size(), 25u);
    for (const auto& entry : seen) EXPECT_NEAR(entry.second, 40, 30);
  }
}

TEST(AugmentTest, TurningGoesByTheAngle) {
  // A ramp stays a ramp: its slope turns.
  auto data = Pictures(1, Shape({21, 21}));
  data->dtype = DType::kFloat;
  for (int i = 0; i < 441; ++i) data->floats.push_back(i % 21 * 4 + 100);
  AugmentDef def;
  def.mutable_rotate()->set_degrees(30);
  double least = 1, most = -1;
  for (int epoch = 0; epoch < 300; ++epoch) {
    const auto out = Apply(def, *data, 0, epoch);
    const double right = (out[10 * 21 + 12] - out[10 * 21 + 8]) / 16;
    const double down = (out[12 * 21 + 10] - out[8 * 21 + 10]) / 16;
    EXPECT_NEAR(right * right + down * down, 1, 1e-3);
    EXPECT_NEAR(out[220], 140, 1e-3);
    least = std::min(least, std::atan2(down, right));
    most = std::max(most, std::atan2(down, right));
  }
  EXPECT_NEAR(most, 30 * M_PI / 180, 0.02);
  EXPECT_NEAR(least, -30 * M_PI / 180, 0.02);
  def.clear_rotate();
  def.mutable_scale()->set_low(0.5);
  def.mutable_scale()->set_high(2);
  least = 10, most = 0;
  for (int epoch = 0; epoch < 300; ++epoch) {
    const auto out = Apply(def, *data, 0, epoch);
    const double slope = (out[10 * 21 + 12] - out[10 * 21 + 8]) / 16;
    least = std::min(least, slope);
    most = std::max(most, slope);
  }
  EXPECT_NEAR(least, 0.5, 0.02);
  EXPECT_NEAR(most, 2, 0.05);
}

TEST(AugmentTest, ErasedRectanglesHaveTheShareTheyShould) {
  const auto data = Pictures(1, Shape({3, 20, 30}));
  AugmentDef def;
  def.mutable_erase()->set_probability(0.25);
  def.mutable_erase()->set_low(0.1);
  def.mutable_erase()->set_high(0.2);
  int erased = 0;
  for (int epoch = 0; epoch < 1000; ++epoch) {
    const auto out = Apply(def, *data, 0, epoch);
    const int zeros = static_cast<int>(std::count(out.begin(), out.end(), 0.f));
    if (zeros == 0) continue;
    ++erased;
    EXPECT_EQ(zeros % 3, 0);  // the same in each channel
    EXPECT_GE(zeros, 3 * 600 * 0.08);
    EXPECT_LE(zeros, 3 * 600 * 0.22);
  }
  EXPECT_NEAR(erased, 250, 50);
}

AugmentDef All() {
  AugmentDef def;
  def.mutable_crop();
  def.mutable_shift();
  def.mutable_flip();
  def.mutable_rotate();
  def.mutable_scale();
  def.mutable_erase();
  def.mutable_mixup();
  return def;
}

std::vector<float> Epochs(const std::shared_ptr<const Dataset>& data,
                          const AugmentDef& def, bool prefetch, int first,
                          int batches) {
  LoaderOptions options;
  options.prefetch = prefetch;
  options.first_batch = first;
  options.augment = *Augmenter::Make(def, *data);
  options.mix = true;
  Loader loader(data, FeatureScaling::Fit(UNIT, *data), options);
  std::vector<float> all;
  for (int i = 0; i < batches; ++i) {
    const Batch& batch = loader.Next();
    all.insert(all.end(), batch.features,
               batch.features + batch.size * data->sample_elements());
    if (batch.mixed_labels == nullptr) continue;
    all.insert(all.end(), batch.mixed_labels, batch.mixed_labels + batch.size);
    all.insert(all.end(), batch.mixed_shares, batch.mixed_shares + batch.size);
  }
  return all;
}

TEST(AugmentTest, ThreadsPrefetchingAndResumingChangeNothing) {
  const auto data = Pictures(23, Shape({3, 13, 17}));
  for (const AugmentDef& def : {All(), AugmentDef()}) {
    omp_set_num_threads(1);
    const auto whole = Epochs(data, def, false, 0, 6);
    for (int threads : {2, 3}) {
      omp_set_num_threads(threads);
      EXPECT_EQ(Epochs(data, def, false, 0, 6), whole);
    }
    EXPECT_EQ(Epochs(data, def, true, 0, 6), whole);
    const auto rest = Epochs(data, def, true, 4, 2);
    EXPECT_TRUE(
        std::equal(rest.begin(), rest.end(), whole.end() - rest.size()));
  }
  omp_set_num_threads(omp_get_num_procs());
}

TEST(AugmentTest, EachEpochAndSampleIsChangedInItsOwnWay) {
  auto data = Pictures(2, Shape({9, 9}));
  std::copy_n(data->bytes.begin(), 81, data->bytes.begin() + 81);
  EXPECT_NE(Apply(All(), *data, 0, 0), Apply(All(), *data, 0, 1));
  EXPECT_NE(Apply(All(), *data, 0, 0), Apply(All(), *data, 1, 0));
  EXPECT_EQ(Apply(All(), *data, 1, 5), Apply(All(), *data, 1, 5));
}

TEST(AugmentTest, TakingBatchesAllocatesNothing) {
  const auto data = Pictures(100, Shape({12, 12}));
  LoaderOptions options;
  options.augment = *Augmenter::Make(All(), *data);
  options.mix = true;
  Loader loader(data, FeatureScaling(), options);
  loader.Next();
  const int64_t before = OwnAllocations();
  for (int i = 0; i < 50; ++i) loader.Next();
  EXPECT_EQ(OwnAllocations(), before);
}

// Each sample's features say which it is, so that what was mixed can be found.
std::shared_ptr<Dataset> Places(int64_t size) {
  auto data = std::make_shared<Dataset>();
  data->size = size;
  data->dtype = DType::kFloat;
  data->sample_shape = Shape({size});
  data->floats.resize(size * size);
  for (int64_t i = 0; i < size; ++i) {
    data->floats[i * size + i] = 1;
    data->labels.push_back(static_cast<int32_t>(i));
  }
  return data;
}

TEST(AugmentTest, MixedSamplesAreTheSharesTheySay) {
  const auto data = Places(10);
  AugmentDef def;
  def.mutable_mixup()->set_alpha(1);
  LoaderOptions options;
  options.augment = *Augmenter::Make(def, *data);
  options.mix = true;
  Loader loader(data, FeatureScaling(), options);
  double shares = 0;
  std::map<int, int> others;
  for (int epoch = 0; epoch < 300; ++epoch) {
    const Batch& batch = loader.Next();
    for (int64_t i = 0; i < 10; ++i) {
      std::vector<float> wanted(10);
      const float share = batch.mixed_shares[i];
      ASSERT_GE(share, 0);
      ASSERT_LE(share, 0.5f);
      wanted[batch.labels[i]] += 1 - share;
      wanted[batch.mixed_labels[i]] += share;
      for (int64_t at = 0; at < 10; ++at) {
        EXPECT_NEAR(batch.features[i * 10 + at], wanted[at], 1e-6);
      }
      shares += share;
      ++others[batch.mixed_labels[i]];
    }
  }
  // The smaller of two parts of 1, cut anywhere.
  EXPECT_NEAR(shares / 3000, 0.25, 0.01);
  EXPECT_EQ(others.size(), 10u);
  for (const auto& entry : others) EXPECT_NEAR(entry.second, 300, 80);
}

TEST(AugmentTest, ASmallAlphaHardlyMixes) {
  const auto data = Places(10);
  const auto mean = [&](float alpha) {
    AugmentDef def;
    def.mutable_mixup()->set_alpha(alpha);
    const auto made = Augmenter::Make(def, *data);
    std::vector<float> scratch((*made)->scratch_floats()), out(10);
    double sum = 0;
    for (int epoch = 0; epoch < 2000; ++epoch) {
      sum += (*made)
                 ->ApplyMixed(*data, 0, 5, epoch, FeatureScaling(),
                              scratch.data(), out.data())
                 .share;
    }
    return sum / 2000;
  };
  EXPECT_LT(mean(0.01f), 0.02);
  EXPECT_NEAR(mean(100), 0.5 - 0.5 * std::sqrt(2 / M_PI / 201), 0.003);
  EXPECT_LT(mean(0.2f), mean(1));
}

TEST(AugmentTest, OnlyFineTuningMixes) {
  const auto data = Places(10);
  AugmentDef def;
  def.mutable_mixup();
  LoaderOptions options;
  options.augment = *Augmenter::Make(def, *data);
  Loader loader(data, FeatureScaling(), options);
  const Batch& batch = loader.Next();
  EXPECT_EQ(batch.mixed_labels, nullptr);
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(batch.features[i * 10 + batch.labels[i]], 1);
  }
}

TEST(AugmentTest, OddPicturesAreFine) {
  for (Shape shape :
       {Shape({1, 1}), Shape({1, 9}), Shape({4, 1, 1}), Shape({2, 7, 1})}) {
    const auto data = Pictures(1, shape);
    AugmentDef def = All();
    def.mutable_crop()->set_padding(20);
    for (int epoch = 0; epoch < 100; ++epoch) Apply(def, *data, 0, epoch);
    def.clear_rotate();
    def.clear_scale();
    for (int epoch = 0; epoch < 100; ++epoch) Apply(def, *data, 0, epoch);
  }
}

TEST(AugmentTest, FaultsAreTold) {
  auto data = Pictures(1, Shape({4, 4}));
  const auto error = [&](const AugmentDef& def) {
    return std::string(Augmenter::Make(def, *data).status().message());
  };
  AugmentDef def;
  def.mutable_rotate()->set_degrees(-1);
  EXPECT_THAT(error(def),
              HasSubstr("rotate.degrees is -1; it must be 0 to 180"));
  def.mutable_rotate()->set_degrees(NAN);
  EXPECT_THAT(error(def), HasSubstr("rotate.degrees is nan"));
  def.Clear();
  def.mutable_scale()->set_low(2);
  EXPECT_THAT(error(def), HasSubstr("scale.high is 1.1; it must be 2 to 10"));
  def.Clear();
  def.mutable_crop()->set_padding(-1);
  EXPECT_THAT(error(def), HasSubstr("crop.padding is -1"));
  def.Clear();
  def.mutable_mixup()->set_alpha(0);
  EXPECT_THAT(error(def), HasSubstr("mixup.alpha is 0; it must be 0.01 to"));
  def.mutable_mixup()->set_alpha(1);
  data->sample_shape = Shape({16});
  EXPECT_EQ(error(def), "");
  data->labels_per_sample = 2;
  EXPECT_THAT(error(def), HasSubstr("mixup needs one label a sample"));
  def.Clear();
  def.mutable_flip();
  EXPECT_THAT(error(def), HasSubstr("are [16]; it changes pictures"));
}

}  // namespace
}  // namespace tamer
