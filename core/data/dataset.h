#ifndef TAMER_CORE_DATA_DATASET_H_
#define TAMER_CORE_DATA_DATASET_H_

#include <memory>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "core/base/shape.h"
#include "core/base/status.h"
#include "core/op/registry.h"
#include "proto/recipe.pb.h"

namespace tamer {

// Samples in memory as they were read (bytes stay bytes), with integer labels
// if the files have them. Immutable; safe to read from many threads.
struct Dataset {
  // Of one sample, without the batch: [28, 28].
  Shape sample_shape;
  int64_t size = 0;
  // kUint8 or kFloat; only the vector of that type is filled, row by row.
  DType dtype = DType::kUint8;
  std::vector<uint8_t> bytes;
  std::vector<float> floats;
  // One a sample, or empty.
  std::vector<int32_t> labels;
  // The files, for messages.
  std::string source;

  int64_t sample_elements() const { return sample_shape.elements(); }
  // Largest label plus one; 0 without labels.
  int32_t classes() const;
};

// Reads `source`; relative file names start from `folder`. Sizes are checked
// before memory is taken. A missing file of a known data set gives the command
// that brings it. Errors name file and, where there is one, line. `registry`
// holds the readers of plugins.
absl::StatusOr<std::shared_ptr<const Dataset>> ReadDataset(
    const DataSource& source, const std::string& folder,
    const OpRegistry* registry = nullptr);

// The rows `rows` of `data`, in that order.
std::shared_ptr<const Dataset> Select(const Dataset& data,
                                      const std::vector<int64_t>& rows);

// Cuts `data` at random (by the seed) into a part of round(share * size)
// samples and the rest; both keep the file's order.
struct SplitResult {
  std::shared_ptr<const Dataset> rest, part;
};
SplitResult RandomSplit(const Dataset& data, double share, uint64_t seed);

// How stored values become the floats that the network sees:
// (x - mean[i]) * factor[i] for feature i; one entry serves all features.
struct FeatureScaling {
  std::vector<float> mean{0.0f}, factor{1.0f};

  // By `kind` and, for STANDARDIZE, the statistics of `train` (a feature that
  // never varies is only centred).
  static FeatureScaling Fit(Scaling kind, const Dataset& train);
  // Writes the floats of sample `row` to `out`; or only those in `part`, to
  // where they belong in `out`.
  void Apply(const Dataset& data, int64_t row, float* out) const;
  void Apply(const Dataset& data, int64_t row, IndexRange part,
             float* out) const;
  // The same of a sample of `width` floats that stands anywhere.
  void ApplyTo(const float* sample, int64_t width, float* out) const;
};

}  // namespace tamer

#endif  // TAMER_CORE_DATA_DATASET_H_
