#include <set>

#include "core/advise/rule.h"
#include "core/passes/solver.h"

// What stages do with one another's products.

namespace tamer {
namespace {

bool AnyFinetunes(const Subject& subject) {
  for (const StageFacts& stage : subject.stages) {
    if (stage.finetune()) return true;
  }
  return false;
}

void PretrainingUnused(const Subject& subject, Findings& findings) {
  if (!AnyFinetunes(subject)) return;
  const RecipeDef& def = subject.def();
  std::set<int> used;
  for (int i = 0; i < def.stage_size(); ++i) {
    for (auto at = ParentStage(def, i); at.ok() && *at >= 0;
         at = ParentStage(def, *at)) {
      if (def.stage(i).has_finetune()) used.insert(*at);
    }
  }
  for (int i = 0; i < def.stage_size(); ++i) {
    if (!def.stage(i).has_pretrain() || used.count(i) > 0) continue;
    Advice& advice =
        findings.InRecipe(def.stage(i).name(), subject.stages[i].path,
                          "no fine-tuning starts from what it learns",
                          absl::StrCat("from: \"", def.stage(i).name(),
                                       "\" in a finetune stage"));
    // The next stage that throws it away, if there is but one candidate.
    if (i + 1 < def.stage_size() && def.stage(i + 1).has_finetune() &&
        def.stage(i + 1).has_from() && def.stage(i + 1).from().empty()) {
      advice.edits = {{Edit::kRecipe, Edit::kRemove,
                       subject.stages[i + 1].path + ".from", ""}};
    }
  }
}

void FinetuneFromNothing(const Subject& subject, Findings& findings) {
  int deep = 0;
  for (const Layer* layer : subject.facts.Hidden()) {
    deep += layer->activation == "SIGMOID";
  }
  if (deep < 2) return;
  for (const StageFacts& stage : subject.stages) {
    if (!stage.finetune() || stage.pretrained || !stage.fresh) continue;
    findings.InRecipe(stage.name(), stage.path,
                      absl::StrCat(deep,
                                   " sigmoid layers from initial "
                                   "values, nothing pretrained"),
                      "a pretrain stage before it, or load { product: ... }");
    return;
  }
}

void FewPasses(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    for (const PretrainLayer& layer : stage.def->pretrain().layer()) {
      const int epochs = layer.has_epochs() ? layer.epochs() : stage.epochs;
      if (epochs >= 30 || (!layer.has_rbm() && !layer.has_autoencoder())) {
        continue;
      }
      findings.InRecipe(
          stage.name(),
          layer.has_epochs() ? absl::StrCat(stage.path, ".pretrain.layer.",
                                            layer.node(), ".epochs")
                             : stage.path + ".pretrain.epochs",
          absl::StrCat(epochs, epochs == 1 ? " pass" : " passes",
                       " over the data for \"", layer.node(), "\""),
          "epochs: 30");
      break;
    }
  }
}

void PretrainedOnce(const Subject& subject, Findings& findings) {
  int stages = 0;
  const StageFacts* only = nullptr;
  for (const StageFacts& stage : subject.stages) {
    if (!stage.def->has_pretrain()) continue;
    ++stages;
    only = &stage;
  }
  if (stages != 1 || only->train == nullptr) return;
  if (only->samples() < 100'000 || only->train->zeros < 0.9) return;
  findings.InRecipe(
      only->name(), only->path,
      absl::StrCat(only->samples(), " samples, ", Percent(only->train->zeros),
                   " of them zeros, pretrained in one stage"),
      "several pretraining stages, each from the one before");
}

void AdaptersWithoutProduct(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    if (!stage.finetune() || !stage.def->finetune().has_adapters() ||
        !stage.fresh) {
      continue;
    }
    findings
        .InRecipe(stage.name(), stage.path + ".finetune.adapters",
                  "adapters on initial values: the network stays random",
                  "start from a product, or leave out adapters")
        .edits = {
        {Edit::kRecipe, Edit::kRemove, stage.path + ".finetune.adapters", ""}};
  }
}

void FrozenUntrained(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    if (!stage.finetune() || !stage.fresh) continue;
    const FinetuneDef& finetune = stage.def->finetune();
    for (int i = 0; i < finetune.freeze_size(); ++i) {
      bool layer_frozen = false;
      for (const Layer& layer : subject.facts.layers) {
        layer_frozen =
            layer_frozen || Covers(finetune.freeze(i), layer.node->name);
      }
      if (!layer_frozen) continue;
      Advice& advice = findings.InRecipe(
          stage.name(), absl::StrCat(stage.path, ".finetune.freeze.", i),
          absl::StrCat("\"", finetune.freeze(i),
                       "\" is frozen at its random initial values"),
          "start from a product, or leave out freeze");
      advice.edits = {{Edit::kRecipe, Edit::kRemove,
                       absl::StrCat(stage.path, ".finetune.freeze.", i), ""}};
      break;
    }
  }
}

void LateUnfreezing(const Subject& subject, Findings& findings) {
  const int64_t layers = subject.facts.layers.size();
  for (const StageFacts& stage : subject.stages) {
    const int every = stage.def->finetune().unfreeze_every();
    if (every <= 0 || every * (layers - 1) < stage.epochs) continue;
    const int64_t mend = std::max<int64_t>(1, stage.epochs / (2 * layers));
    findings
        .InRecipe(
            stage.name(), stage.path + ".finetune.unfreeze_every",
            absl::StrCat("the first of ", layers,
                         " layers would learn from epoch ",
                         every * (layers - 1) + 1, " on, of ", stage.epochs),
            absl::StrCat("unfreeze_every: ", mend))
        .edits =
        SetField(stage.path + ".finetune.unfreeze_every", std::to_string(mend));
  }
}

void EndlessPatience(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    if (!stage.def->finetune().has_early_stopping()) continue;
    const int patience = stage.def->finetune().early_stopping().patience();
    if (patience < stage.epochs) continue;
    findings.InRecipe(
        stage.name(), stage.path + ".finetune.early_stopping",
        absl::StrCat("patience of ", patience, " in ", stage.epochs,
                     " epochs never stops"),
        absl::StrCat("patience: ", std::max(1, stage.epochs / 5)));
  }
}

void TestAsValidation(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    const DataDef& data = *stage.data_def;
    if (!data.has_validation() || !data.has_test() ||
        data.validation().SerializeAsString() !=
            data.test().SerializeAsString()) {
      continue;
    }
    findings
        .InRecipe(stage.name(), stage.data_path + ".validation",
                  "the test data choose the best epoch: what they tell "
                  "afterwards is too good",
                  "validation_share: 0.1 instead of validation")
        .edits = {
        {Edit::kRecipe, Edit::kRemove, stage.data_path + ".validation", ""},
        {Edit::kRecipe, Edit::kSet, stage.data_path + ".validation_share",
         "0.1"}};
    return;
  }
}

void NoTestData(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    if (!stage.finetune() || stage.data_def->has_test() ||
        stage.data_def->has_validation() ||
        stage.data_def->validation_share() > 0) {
      continue;
    }
    findings.InRecipe(stage.name(), stage.data_path,
                      "nothing is set apart to test on",
                      "test { ... }, or validation_share: 0.1");
    return;
  }
}

}  // namespace

std::vector<Rule> StageRules() {
  return {
      {31,
       {"pretraining-unused", Severity::kWarning,
        "Features that were learned and are not fine-tuned cost their time and "
        "give nothing.",
        "Hinton and Salakhutdinov 2006"},
       PretrainingUnused},
      {70,
       {"finetune-from-nothing", Severity::kHint,
        "Sigmoid layers learn slowly from initial values; pretraining puts "
        "them where fine-tuning only has to turn them a little.",
        "Erhan et al. 2010"},
       FinetuneFromNothing},
      {71,
       {"few-passes", Severity::kHint,
        "About 30 passes over the data are the reference for a pretrained "
        "layer.",
        "Hinton and Salakhutdinov 2006; Hinton 2010"},
       FewPasses},
      {72,
       {"pretrained-once", Severity::kHint,
        "Large and sparse data show each feature rarely: several stages, the "
        "rate falling, keep what early ones found.",
        "the craft of deep belief nets"},
       PretrainedOnce},
      {7,
       {"adapters-without-product", Severity::kWarning,
        "Low-rank adapters change a network a little; there must be one.",
        "Hu et al. 2022"},
       AdaptersWithoutProduct},
      {7,
       {"frozen-untrained", Severity::kWarning,
        "What is frozen must have been trained before.",
        "Howard and Ruder 2018"},
       FrozenUntrained},
      {47,
       {"late-unfreezing", Severity::kWarning,
        "Gradual unfreezing must reach the first layer well before the end.",
        "Howard and Ruder 2018, 3.3"},
       LateUnfreezing},
      {73,
       {"endless-patience", Severity::kHint,
        "Early stopping needs less patience than there are epochs.",
        "Prechelt 1998"},
       EndlessPatience},
      {48,
       {"test-as-validation", Severity::kWarning,
        "Whatever chooses a model is part of its training.",
        "Hastie et al. 2009, 7.2"},
       TestAsValidation},
      {74,
       {"no-test-data", Severity::kHint,
        "The training loss alone does not tell a network that learns from one "
        "that remembers.",
        "Hastie et al. 2009, 7.2"},
       NoTestData},
  };
}

}  // namespace tamer
