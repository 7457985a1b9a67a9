#include "core/advise/data_facts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "core/base/random.h"

namespace tamer {
namespace {

constexpr int64_t kMostSamples = 20000;
// Sets above these are not compared: samples, and values of the smaller sums.
constexpr int64_t kMostPaired = 200000;
constexpr int64_t kMostValues = 200'000'000;
constexpr int64_t kNeighbours = 2000;
constexpr int64_t kProbes = 300;
// Signatures: bands of so many signs of sparse random sums.
constexpr int kBands = 4, kSigns = 24, kTerms = 16;
// More in one bucket than this are told apart by no signature: a flat image.
constexpr size_t kMostInBucket = 64;

std::vector<int64_t> Spread(int64_t size, int64_t most) {
  const int64_t count = std::min(size, most);
  std::vector<int64_t> rows(count);
  for (int64_t i = 0; i < count; ++i) rows[i] = i * size / count;
  return rows;
}

std::vector<std::vector<float>> Scaled(const Dataset& data,
                                       const FeatureScaling& scaling,
                                       const std::vector<int64_t>& rows) {
  std::vector<std::vector<float>> samples;
  for (int64_t row : rows) {
    samples.emplace_back(data.sample_elements());
    scaling.Apply(data, row, samples.back().data());
  }
  return samples;
}

absl::string_view StoredBytes(const Dataset& data, int64_t row) {
  const int64_t n = data.sample_elements();
  const auto view = [row, n](const auto& values) {
    return absl::string_view(
        reinterpret_cast<const char*>(values.data() + row * n),
        n * sizeof(values[0]));
  };
  switch (data.dtype) {
    case DType::kUint8:
      return view(data.bytes);
    case DType::kInt32:
      return view(data.tokens);
    default:
      return view(data.floats);
  }
}

double SquaredDistance(const std::vector<float>& a,
                       const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = a[i] - b[i];
    sum += d * d;
  }
  return sum;
}

// Rows whose signs of random sums agree in some band are likely to be near
// (Charikar 2002, "Similarity estimation techniques from rounding algorithms").
class Signatures {
 public:
  Signatures(int64_t features, std::vector<float> mean)
      : mean_(std::move(mean)), terms_(kBands * kSigns * kTerms) {
    const uint64_t key = StreamKey(1, "advise/signatures");
    for (size_t i = 0; i < terms_.size(); ++i) {
      terms_[i] = {static_cast<int32_t>(RandomBelow(key, 0, i, features)),
                   RandomBelow(key, 1, i, 2) == 0 ? -1.0f : 1.0f};
    }
  }

  std::array<uint32_t, kBands> Of(const std::vector<float>& sample) const {
    std::array<uint32_t, kBands> bands{};
    size_t at = 0;
    for (int band = 0; band < kBands; ++band) {
      for (int sign = 0; sign < kSigns; ++sign) {
        float sum = 0;
        for (int k = 0; k < kTerms; ++k, ++at) {
          const int32_t i = terms_[at].first;
          sum += terms_[at].second * (sample[i] - mean_[i]);
        }
        bands[band] = bands[band] * 2 + (sum > 0);
      }
    }
    return bands;
  }

 private:
  std::vector<float> mean_;
  std::vector<std::pair<int32_t, float>> terms_;
};

void CountDuplicates(const Dataset& train, const Dataset& test,
                     std::vector<bool>* exact, PairFacts* facts) {
  std::unordered_map<size_t, std::vector<int64_t>> rows;
  for (int64_t i = 0; i < train.size; ++i) {
    rows[absl::HashOf(StoredBytes(train, i))].push_back(i);
  }
  exact->assign(test.size, false);
  for (int64_t i = 0; i < test.size; ++i) {
    const absl::string_view sample = StoredBytes(test, i);
    const auto found = rows.find(absl::HashOf(sample));
    if (found == rows.end()) continue;
    for (int64_t row : found->second) {
      if (StoredBytes(train, row) != sample) continue;
      (*exact)[i] = true;
      if (facts->duplicates++ == 0) {
        facts->first_test = i;
        facts->first_train = row;
      }
      break;
    }
  }
}

void CountNear(const std::vector<std::vector<float>>& train,
               const std::vector<std::vector<float>>& test,
               const std::vector<bool>& exact, PairFacts* facts) {
  const int64_t n = train[0].size();
  std::vector<double> sum(n);
  for (const auto& sample : train) {
    for (int64_t i = 0; i < n; ++i) sum[i] += sample[i];
  }
  std::vector<float> mean(n);
  for (int64_t i = 0; i < n; ++i) {
    mean[i] = static_cast<float>(sum[i] / train.size());
  }
  const Signatures signatures(n, mean);
  std::array<std::unordered_map<uint32_t, std::vector<int32_t>>, kBands> seen;
  for (size_t row = 0; row < train.size(); ++row) {
    const auto bands = signatures.Of(train[row]);
    for (int band = 0; band < kBands; ++band) {
      auto& bucket = seen[band][bands[band]];
      if (bucket.size() < kMostInBucket) bucket.push_back(row);
    }
  }
  for (size_t i = 0; i < test.size(); ++i) {
    if (exact[i]) continue;
    const auto bands = signatures.Of(test[i]);
    const double limit = SquaredDistance(test[i], mean) * 0.05 * 0.05;
    bool near = false;
    for (int band = 0; band < kBands && !near; ++band) {
      const auto bucket = seen[band].find(bands[band]);
      if (bucket == seen[band].end()) continue;
      for (int32_t row : bucket->second) {
        near = near || SquaredDistance(test[i], train[row]) < limit;
      }
    }
    facts->near += near;
  }
}

// How often the nearest of `neighbours` has the probe's label.
double Agreement(const Dataset& neighbours,
                 const std::vector<int64_t>& neighbour_rows,
                 const Dataset& probes, const std::vector<int64_t>& probe_rows,
                 const FeatureScaling& scaling) {
  const auto near = Scaled(neighbours, scaling, neighbour_rows);
  const auto far = Scaled(probes, scaling, probe_rows);
  int64_t agree = 0;
  for (size_t p = 0; p < far.size(); ++p) {
    size_t best = 0;
    double least = INFINITY;
    for (size_t i = 0; i < near.size(); ++i) {
      const double distance = SquaredDistance(far[p], near[i]);
      if (distance < least) {
        least = distance;
        best = i;
      }
    }
    agree +=
        neighbours.labels[neighbour_rows[best]] == probes.labels[probe_rows[p]];
  }
  return static_cast<double>(agree) / far.size();
}

void CompareLabels(const Dataset& train, const Dataset& test,
                   const FeatureScaling& scaling, PairFacts* facts) {
  // Every other of a spread: neighbours and probes are never the same.
  const auto rows = Spread(train.size, 2 * kNeighbours);
  std::vector<int64_t> neighbours, others, probes;
  for (size_t i = 0; i < rows.size(); ++i) {
    (i % 2 == 0 ? neighbours : others).push_back(rows[i]);
  }
  for (int64_t i : Spread(others.size(), kProbes)) probes.push_back(others[i]);
  const int32_t classes = train.classes();
  std::vector<double> share(classes);
  for (int32_t label : train.labels) {
    if (label >= 0) share[label] += 1.0 / train.labels.size();
  }
  for (double p : share) facts->chance += p * p;
  facts->probes = probes.size();
  if (probes.empty() || neighbours.empty()) return;
  facts->train_agreement = Agreement(train, neighbours, train, probes, scaling);
  facts->test_agreement =
      Agreement(train, neighbours, test, Spread(test.size, kProbes), scaling);
}

}  // namespace

DataFacts FactsOf(const Dataset& data, const FeatureScaling& scaling) {
  DataFacts facts;
  facts.samples = data.size;
  facts.features = data.sample_elements();
  facts.tokens = data.dtype == DType::kInt32;
  facts.bytes = data.dtype == DType::kUint8;
  if (data.labels_per_sample == 1) {
    facts.labels.resize(data.classes());
    for (int32_t label : data.labels) {
      if (label >= 0) ++facts.labels[label];
    }
  }
  if (facts.tokens || data.size == 0) return facts;
  const int64_t n = facts.features;
  const auto rows = Spread(data.size, kMostSamples);
  std::vector<double> sum(n), squares(n);
  std::vector<float> least(n, INFINITY), most(n, -INFINITY), sample(n);
  int64_t zeros = 0, outside = 0;
  for (int64_t row : rows) {
    scaling.Apply(data, row, sample.data());
    for (int64_t i = 0; i < n; ++i) {
      const float x = sample[i];
      sum[i] += x;
      squares[i] += static_cast<double>(x) * x;
      least[i] = std::min(least[i], x);
      most[i] = std::max(most[i], x);
      zeros += x == 0;
      outside += x < -1e-6f || x > 1 + 1e-6f;
    }
  }
  const double count = static_cast<double>(rows.size());
  double variance = 0;
  facts.low = INFINITY;
  facts.high = -INFINITY;
  for (int64_t i = 0; i < n; ++i) {
    facts.constant += !(least[i] < most[i]);
    facts.low = std::min<double>(facts.low, least[i]);
    facts.high = std::max<double>(facts.high, most[i]);
    facts.mean += sum[i] / count / n;
    const double mean = sum[i] / count;
    variance += std::max(0.0, squares[i] / count - mean * mean) / n;
  }
  facts.deviation = std::sqrt(variance);
  facts.zeros = zeros / (count * n);
  facts.outside_unit = outside / (count * n);
  return facts;
}

PairFacts FactsOfPair(const Dataset& train, const Dataset& test,
                      const FeatureScaling& scaling) {
  PairFacts facts;
  facts.test_samples = test.size;
  if (train.size == 0 || test.size == 0 || train.size > kMostPaired ||
      test.size > kMostPaired) {
    return facts;
  }
  std::vector<bool> exact;
  CountDuplicates(train, test, &exact, &facts);
  if (train.dtype == DType::kInt32) return facts;
  const int64_t features = train.sample_elements();
  if (features >= kTerms && train.size * features <= kMostValues) {
    CountNear(Scaled(train, scaling, Spread(train.size, kMostPaired)),
              Scaled(test, scaling, Spread(test.size, kMostPaired)), exact,
              &facts);
  }
  const bool labelled = train.labels_per_sample == 1 &&
                        test.labels_per_sample == 1 && train.classes() > 1 &&
                        !test.labels.empty();
  if (labelled) CompareLabels(train, test, scaling, &facts);
  return facts;
}

}  // namespace tamer
