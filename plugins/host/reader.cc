// A TamerReader as a DataReader.

#include "core/data/reader.h"

#include "plugins/host/extension_adapter.h"
#include "plugins/host/guard.h"
#include "plugins/host/schema.h"
#include "plugins/host/tables.h"

namespace tamer {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 36;
constexpr int64_t kChunk = 4096;  // samples read at once

class PluginReader : public FromSchema<DataReader> {
 public:
  PluginReader(std::string site, const TamerReader& table,
               std::shared_ptr<const Schema> schema)
      : FromSchema(std::move(schema)), site_(std::move(site)), reader_(table) {}

  absl::Status Read(const google::protobuf::Message& params,
                    const std::string& folder, Dataset* data) const override {
    absl::Status status = own_schema()->Check(params);
    if (!status.ok()) return Annotate(status, site_);
    const TamerParams view{own_schema().get(), &params, folder};
    TamerDataset found = Make<TamerDataset>();
    TAMER_RETURN_IF_ERROR(Guarded(site_, [&](TamerError* error) {
      return reader_.open(reader_.user, &view, &found, error);
    }));
    status = Prepare(found, data);
    if (status.ok()) status = ReadAll(found, data);
    if (reader_.close != nullptr) {
      status.Update(Guarded(site_, [&](TamerError*) {
        reader_.close(found.handle);
        return TAMER_OK;
      }));
    }
    return status;
  }

 private:
  // Checks what `open` told, and takes the memory.
  absl::Status Prepare(const TamerDataset& found, Dataset* data) const {
    if (found.type != TAMER_FLOAT && found.type != TAMER_UINT8) {
      return Invalid(site_, ": its samples are of type ", found.type,
                     ", neither FLOAT nor UINT8");
    }
    if (found.rank < 1 || found.rank > 8 || found.samples < 1) {
      return Invalid(site_, ": it tells of ", found.samples,
                     " samples of rank ", found.rank);
    }
    const int64_t size = found.type == TAMER_FLOAT ? 4 : 1;
    int64_t elements = 1, bytes = 0;
    for (int32_t i = 0; i < found.rank; ++i) {
      if (found.dims[i] < 1 ||
          __builtin_mul_overflow(elements, found.dims[i], &elements)) {
        return Invalid(site_, ": dimension ", i, " of a sample is ",
                       found.dims[i]);
      }
      data->sample_shape.push_back(found.dims[i]);
    }
    if (__builtin_mul_overflow(elements, found.samples * size, &bytes) ||
        bytes > kMostBytes) {
      return Invalid(site_, ": ", found.samples, " samples of ", elements,
                     " numbers are more than ", kMostBytes >> 30, " GiB");
    }
    data->size = found.samples;
    data->source = site_;
    data->dtype = size == 4 ? DType::kFloat : DType::kUint8;
    if (size == 4) {
      data->floats.resize(elements * found.samples);
    } else {
      data->bytes.resize(elements * found.samples);
    }
    if (found.has_labels != 0) data->labels.resize(found.samples);
    return absl::OkStatus();
  }

  absl::Status ReadAll(const TamerDataset& found, Dataset* data) const {
    const int64_t width = data->sample_elements();
    for (int64_t begin = 0; begin < data->size; begin += kChunk) {
      const int64_t count = std::min(kChunk, data->size - begin);
      void* samples =
          data->dtype == DType::kFloat
              ? static_cast<void*>(data->floats.data() + begin * width)
              : static_cast<void*>(data->bytes.data() + begin * width);
      int32_t* labels =
          data->labels.empty() ? nullptr : data->labels.data() + begin;
      TAMER_RETURN_IF_ERROR(Guarded(site_, [&](TamerError* error) {
        return reader_.read(found.handle, begin, count, samples, labels, error);
      }));
    }
    for (int32_t label : data->labels) {
      if (label < 0) return Invalid(site_, ": a label is ", label);
    }
    return absl::OkStatus();
  }

  const std::string site_;
  const TamerReader reader_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Extension>> MakeReader(
    const std::string& plugin, const TamerReader* table) {
  const TamerReader reader = Take(table);
  TAMER_RETURN_IF_ERROR(CheckIdentifier(reader.name, "a reader's name"));
  if (reader.open == nullptr) return Invalid("its callback `open` is null");
  if (reader.read == nullptr) return Invalid("its callback `read` is null");
  TAMER_ASSIGN_OR_RETURN(
      auto schema,
      Schema::Make(reader.name, reader.doc, reader.params, reader.num_params));
  return std::unique_ptr<Extension>(std::make_unique<PluginReader>(
      absl::StrCat("plugin ", plugin, ", reader ", reader.name), reader,
      std::move(schema)));
}

}  // namespace tamer
