#ifndef TAMER_CORE_TRAIN_MONITOR_H_
#define TAMER_CORE_TRAIN_MONITOR_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/plan/variables.h"
#include "core/runtime/scheduler.h"
#include "core/train/recipe.h"

namespace tamer {

// Looks at a network now and then while it is trained: rectifiers that are 0
// for every sample and so never learn again (Lu et al. 2019, "Dying ReLU and
// initialization"), sigmoids and hyperbolic tangents that stand at their ends
// (Glorot and Bengio 2010), and weights that run away.
class Monitor {
 public:
  // Watches what `network` makes of the first 100 training samples. All must
  // outlive it.
  Monitor(const Graph& network, const TrainingData& data, Variables* variables,
          Scheduler* scheduler)
      : network_(network),
        data_(data),
        variables_(*variables),
        scheduler_(*scheduler) {}

  // Whether it is time: after epochs 1, 2, 4, 8, …, so that looking costs next
  // to nothing.
  static bool Due(int64_t epoch) { return (epoch & (epoch - 1)) == 0; }

  // What is wrong with which node, each told once.
  absl::StatusOr<std::vector<std::string>> Look();

 private:
  struct Watched {
    std::string node, activation, value;
    bool channels = false;  // units are [B, units, …], else the last dimension
  };
  std::vector<Watched> FindActivations(const Graph& graph) const;
  absl::Status LookAtUnits(std::vector<std::string>* found);
  void LookAtWeights(std::vector<std::string>* found);
  void Tell(const std::string& node, const std::string& what,
            std::vector<std::string>* found);

  const Graph& network_;
  const TrainingData& data_;
  Variables& variables_;
  Scheduler& scheduler_;
  std::set<std::string> told_;
  std::map<std::string, float> first_size_;  // of each weight
};

// "; the first parameter that is not finite is h1/weight", or of what is left
// the largest: for the message of a run that diverged.
std::string WhereNotFinite(const Variables& variables);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_MONITOR_H_
