#ifndef TAMER_TOOLS_REPORT_CONFUSION_H_
#define TAMER_TOOLS_REPORT_CONFUSION_H_

#include <nlohmann/json.hpp>

#include "core/data/dataset.h"
#include "core/runtime/scheduler.h"
#include "core/train/product.h"

namespace tamer {

// What a classifier takes for what, on labelled `data`: "confusion" (rows are
// labels), "classes", "accuracy", and under "worst" the samples that it was
// surest about and wrong, some for each pair of classes, with their images if
// they are such. Null where that means nothing: other losses, several labels a
// sample, very many classes.
absl::StatusOr<nlohmann::ordered_json> Confusion(Product* product,
                                                 const Dataset& data,
                                                 Scheduler* scheduler);

}  // namespace tamer

#endif  // TAMER_TOOLS_REPORT_CONFUSION_H_
