#ifndef TAMER_TESTS_PASSES_SLOPES_H_
#define TAMER_TESTS_PASSES_SLOPES_H_

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "core/passes/solver.h"
#include "tests/passes/fixture.h"

// Whether what a method of pretraining learns follows the slope of its loss.

namespace tamer {

class SlopeTest : public PassesTest {
 protected:
  static void Shake(Variables* variables) {
    uint64_t key = 100;
    for (const auto& entry : variables->all()) {
      if (absl::StrContains(entry.first, "update/")) continue;
      if (absl::StrContains(entry.first, "average")) continue;
      std::vector<float> noise(entry.second.elements());
      FillGaussian(++key, 0, static_cast<int64_t>(noise.size()), noise.data());
      for (size_t i = 0; i < noise.size(); ++i) {
        entry.second.floats()[i] += 0.3f * noise[i];
      }
    }
  }
  static std::map<std::string, std::vector<float>> Save(
      const Variables& variables) {
    std::map<std::string, std::vector<float>> saved;
    for (const auto& entry : variables.all()) {
      saved[entry.first] = Values(variables, entry.first);
    }
    return saved;
  }
  static void Restore(const std::map<std::string, std::vector<float>>& saved,
                      Variables* variables) {
    for (const auto& entry : saved) {
      std::memcpy(variables->Find(entry.first)->data, entry.second.data(),
                  entry.second.size() * sizeof(float));
    }
  }

  // One step of SGD moves each parameter by -rate times the slope of the loss,
  // all random numbers of the step being the same.
  void CheckSlopes(const std::string& network, const std::string& layer,
                   float step = 1e-2f) {
    CheckSlopes(network, Proto<PretrainLayer>(layer), step);
  }
  void CheckSlopes(const std::string& network, const PretrainLayer& layer,
                   float step = 1e-2f) {
    SCOPED_TRACE(layer.ShortDebugString());
    const auto graph = Pretrain(Parse(network), layer,
                                Proto<SolverDef>("sgd { learning_rate: 1 }"));
    Variables variables;
    auto plan = Compile(graph, &variables);
    Shake(&variables);
    const auto saved = Save(variables);
    const auto loss_of = [&] {
      rate_ = 0;
      Run(*plan, 3);
      return double{plan->FindOutput("loss").floats()[0]};
    };
    const std::vector<std::string> trained = UpdatedBy(*graph);
    EXPECT_GE(trained.size(), 3u);
    std::map<std::string, std::vector<double>> slopes;
    for (const std::string& name : trained) {
      for (size_t i = 0; i < saved.at(name).size(); ++i) {
        double losses[2];
        for (int side : {0, 1}) {
          Restore(saved, &variables);
          variables.Find(name)->floats()[i] += side == 0 ? -step : step;
          losses[side] = loss_of();
        }
        slopes[name].push_back((losses[1] - losses[0]) / (2 * step));
      }
    }
    Restore(saved, &variables);
    rate_ = 1e-2f;
    Run(*plan, 3);
    for (const std::string& name : trained) {
      const std::vector<float> after = Values(variables, name);
      for (size_t i = 0; i < after.size(); ++i) {
        EXPECT_NEAR((saved.at(name)[i] - after[i]) / 1e-2, slopes[name][i],
                    2e-3 + 5e-3 * std::abs(slopes[name][i]))
            << name << " " << i;
      }
    }
  }
};

}  // namespace tamer

#endif  // TAMER_TESTS_PASSES_SLOPES_H_
