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
  // kUint8, kFloat or kInt32; only the vector of that type is filled, row by
  // row. INT32 samples are tokens: numbers of words, never scaled; -1 stands
  // where a shorter sample is padded.
  DType dtype = DType::kUint8;
  std::vector<uint8_t> bytes;
  std::vector<float> floats;
  std::vector<int32_t> tokens;
  // `labels_per_sample` a sample, or empty. More than one: a label for each
  // step of a sequence, -1 where there is none.
  std::vector<int32_t> labels;
  int64_t labels_per_sample = 1;
  // Steps (of the samples' first dimension) that are not padding, one a
  // sample; or empty.
  std::vector<int32_t> lengths;
  // With tokens that are pieces: the bytes of the model's file.
  std::string pieces;
  // What the labels are called, by label; or empty.
  std::vector<std::string> class_names;
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

// `data` with its labels as numbers of `names`, by what its classes are called:
// another file may have them in another order, or lack some. As it is if either
// side has no names; an error if a class has none of these.
absl::StatusOr<std::shared_ptr<const Dataset>> WithClasses(
    std::shared_ptr<const Dataset> data, const std::vector<std::string>& names);

// The first `most` samples of `data` alone; 0: all.
void KeepFirst(int64_t most, Dataset* data);

// Cuts `data` at random (by the seed) into a part of round(share * size)
// samples and the rest; both keep the file's order.
struct SplitResult {
  std::shared_ptr<const Dataset> rest, part;
};
SplitResult RandomSplit(const Dataset& data, double share, uint64_t seed);

// How stored values become the floats that the network sees:
// (x - mean[i]) * factor[i] for feature i; one entry serves all features.
// Tokens have none.
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
