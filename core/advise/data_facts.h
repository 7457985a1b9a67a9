#ifndef TAMER_CORE_ADVISE_DATA_FACTS_H_
#define TAMER_CORE_ADVISE_DATA_FACTS_H_

#include <cstdint>
#include <vector>

#include "core/train/recipe.h"

namespace tamer {

// Statistics of one part of the data, over at most 20,000 samples spread evenly
// where a sum over all would say no more; counts of samples and labels are of
// all.
struct DataFacts {
  int64_t samples = 0;
  int64_t features = 0;  // elements of a sample
  bool tokens = false;   // no numbers to take statistics of
  bool bytes = false;
  // Labels: how many samples each has, by label.
  std::vector<int64_t> labels;
  // Of the scaled values.
  double low = 0, high = 0, mean = 0;
  // The root of the features' mean variance.
  double deviation = 0;
  double zeros = 0;         // share
  double outside_unit = 0;  // share that is not in [0, 1]
  int64_t constant = 0;     // features that never vary
};
DataFacts FactsOf(const Dataset& data, const FeatureScaling& scaling);

// What shows only when two parts of the data are looked at together.
struct PairFacts {
  // Test samples that are in the training data too, to the byte; the first one,
  // and which training sample it is.
  int64_t duplicates = 0, first_test = -1, first_train = -1;
  // Those that are very near to one: less than a twentieth of the sample's own
  // distance from the mean away.
  int64_t near = 0;
  int64_t test_samples = 0;
  // How often the nearest of 2,000 training samples has a sample's label: of
  // 300 training samples and of 300 test samples, and by chance. -1 without
  // labels.
  double train_agreement = -1, test_agreement = -1, chance = 0;
  int64_t probes = 0;
};
PairFacts FactsOfPair(const Dataset& train, const Dataset& test,
                      const FeatureScaling& scaling);

}  // namespace tamer

#endif  // TAMER_CORE_ADVISE_DATA_FACTS_H_
