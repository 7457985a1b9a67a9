// A reader of raw records: samples of bytes one after another in a file, and
// labels, a byte each, in another. MNIST's own files are such, after headers of
// 16 and 8 bytes.

#include <cstdio>

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

struct Records : Reader {
  static constexpr char kName[] = "Records";
  static constexpr char kDoc[] =
      "Samples of bytes one after another in a file, and labels, a byte each, "
      "in another.";
  std::string samples, labels;
  std::vector<int64_t> shape;
  int64_t header = 0, label_header = 0;

  template <typename Table>
  static void Params(Table& table) {
    table.Add("samples", &Records::samples, "The file of samples.").File();
    table.Add("labels", &Records::labels, "The file of labels, or none.")
        .File();
    table.Add("shape", &Records::shape, "Of one sample.").Range(1, 1 << 20);
    table.Add("header", &Records::header, "Bytes before the first sample.")
        .Range(0, 1 << 30);
    table
        .Add("label_header", &Records::label_header,
             "Bytes before the first label.")
        .Range(0, 1 << 30);
  }

  ~Records() {
    if (sample_file != nullptr) std::fclose(sample_file);
    if (label_file != nullptr) std::fclose(label_file);
  }

  static FILE* OpenFile(const std::string& path) {
    FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) throw Error(path + ": cannot be opened");
    return file;
  }
  static int64_t SizeAfter(FILE* file, int64_t header) {
    std::fseek(file, 0, SEEK_END);
    return std::ftell(file) - header;
  }

  void Open(TamerDataset* dataset) {
    if (shape.empty() || shape.size() > 8) {
      throw Error("shape must have 1 to 8 dimensions");
    }
    width = 1;
    dataset->rank = 0;
    for (int64_t dim : shape) {
      dataset->dims[dataset->rank++] = dim;
      width *= dim;
    }
    sample_file = OpenFile(samples);
    const int64_t bytes = SizeAfter(sample_file, header);
    if (bytes <= 0 || bytes % width != 0) {
      throw Error(samples + ": " + std::to_string(bytes) +
                  " bytes after the header are not a multiple of " +
                  std::to_string(width));
    }
    dataset->samples = bytes / width;
    dataset->type = TAMER_UINT8;
    if (labels.empty()) return;
    label_file = OpenFile(labels);
    if (SizeAfter(label_file, label_header) != dataset->samples) {
      throw Error(labels + ": not as many labels as there are samples, " +
                  std::to_string(dataset->samples));
    }
    dataset->has_labels = 1;
  }

  void Read(int64_t begin, int64_t count, void* out, int32_t* label_out) {
    std::fseek(sample_file, header + begin * width, SEEK_SET);
    if (std::fread(out, width, count, sample_file) !=
        static_cast<size_t>(count)) {
      throw Error(samples + ": cannot be read");
    }
    if (label_out == nullptr) return;
    std::vector<uint8_t> raw(count);
    std::fseek(label_file, label_header + begin, SEEK_SET);
    if (std::fread(raw.data(), 1, count, label_file) !=
        static_cast<size_t>(count)) {
      throw Error(labels + ": cannot be read");
    }
    for (int64_t i = 0; i < count; ++i) label_out[i] = raw[i];
  }

  FILE* sample_file = nullptr;
  FILE* label_file = nullptr;
  int64_t width = 0;
};

TAMER_PLUGIN("records", "1.0", Records)
