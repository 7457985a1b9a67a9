#ifndef TAMER_CORE_DATA_AUGMENT_H_
#define TAMER_CORE_DATA_AUGMENT_H_

#include <cstdint>
#include <memory>

#include "core/data/dataset.h"

namespace tamer {

// Changes pictures at random, so that no epoch shows the same twice: see
// AugmentDef. What is done to a sample depends on key, epoch and sample alone:
// the same on any number of threads, and after resuming. Immutable.
class Augmenter {
 public:
  // An error if a parameter is out of range, or the samples are tokens, or not
  // pictures [height, width] or [channels, height, width] unless they are only
  // to be mixed.
  static absl::StatusOr<std::shared_ptr<const Augmenter>> Make(
      const AugmentDef& def, const Dataset& data);

  // Writes sample `row` of `data`, changed and then scaled, to `out`. `scratch`
  // holds scratch_floats() numbers of this thread's own. Allocates nothing.
  void Apply(const Dataset& data, int64_t row, uint64_t key, int64_t epoch,
             const FeatureScaling& scaling, float* scratch, float* out) const;

  // Whether Apply changes anything.
  bool changes() const;
  // Whether samples are mixed in fine-tuning.
  bool mixes() const { return def_.has_mixup(); }
  // The sample that was mixed in, and how much of the result it is: 0 to 1/2.
  struct Mix {
    int64_t row = 0;
    float share = 0;
  };
  // Apply, and a share of another sample, changed in its own way, mixed in.
  Mix ApplyMixed(const Dataset& data, int64_t row, uint64_t key, int64_t epoch,
                 const FeatureScaling& scaling, float* scratch,
                 float* out) const;
  int64_t scratch_floats() const;

  // Whether it is worth a thread that prepares batches ahead: a change takes
  // more than about a microsecond a sample.
  bool dear() const;

 private:
  struct Change;

  Augmenter(const AugmentDef& def, const Shape& sample);
  Change Draw(uint64_t key, int64_t row, int64_t epoch) const;
  Mix DrawMix(uint64_t key, int64_t row, int64_t epoch, int64_t samples) const;
  void ChangeSample(const Dataset& data, int64_t row, const Change& change,
                    const FeatureScaling& scaling, float* scratch,
                    float* out) const;
  template <typename T>
  void ChangePlane(const T* in, const Change& change, float* scratch,
                   float* out) const;

  const AugmentDef def_;
  int64_t channels_ = 1, height_ = 0, width_ = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_DATA_AUGMENT_H_
