#include "tools/text/products.h"

namespace tamer {

int64_t EpochsOf(const ManifestDef& manifest) {
  int64_t epochs = 0;
  for (const DoneDef& done : manifest.done()) epochs += done.epochs();
  return epochs;
}

nlohmann::ordered_json ProductJson(const ProductInfo& info) {
  nlohmann::ordered_json json;
  json["id"] = info.id;
  json["stage"] = info.manifest.stage();
  json["generation"] = info.manifest.generation();
  json["parent"] = info.manifest.parent_id();
  json["epochs"] = EpochsOf(info.manifest);
  json["data_sha256"] = info.manifest.data_sha256();
  for (const MetricDef& metric : info.manifest.metric()) {
    json["metrics"][metric.name()] = metric.value();
  }
  json["path"] = info.path;
  return json;
}

}  // namespace tamer
