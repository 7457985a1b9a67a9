#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "core/base/cpu.h"
#include "core/data/write.h"
#include "core/passes/passes.h"
#include "core/train/evaluate.h"
#include "core/train/files.h"
#include "core/train/product.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

struct Options {
  std::string product;
  std::string input;
  std::string output;
  bool header = false;
  int threads = 0;
  bool bf16 = false;
  bool json = false;
};

// Pictures and texts are read as the training data was.
absl::StatusOr<DataSource> SourceLike(const Options& options, bool pictures,
                                      const Product& product) {
  const DataSource& train = product.data().train();
  DataSource source;
  if (pictures && train.has_images()) {
    *source.mutable_images() = train.images();
    source.mutable_images()->set_folder(options.input);
    return source;
  }
  if (!pictures && train.has_text()) {
    TextSource& text = *source.mutable_text();
    text.set_context(train.text().context());
    if (train.text().has_pieces()) {
      text.set_pieces(JoinPath(product.folder, train.text().pieces()));
    }
    if (train.text().file_size() > 0) {
      text.add_file(options.input);
    } else {  // a text a line
      TextClass& unknown = *text.add_class_();
      unknown.set_name("unknown");
      unknown.add_file(options.input);
    }
    return source;
  }
  return Invalid(options.input,
                 pictures ? ": a folder is for networks of pictures"
                          : ": text is for networks of text",
                 ", and ", product.path, " is not of one");
}

// The input as a data source, by the file's name.
absl::StatusOr<DataSource> Source(const Options& options,
                                  const Product& product) {
  DataSource source;
  struct stat info;
  const bool folder =
      stat(options.input.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  if (folder || absl::EndsWith(options.input, ".txt")) {
    return SourceLike(options, folder, product);
  }
  if (absl::EndsWith(options.input, ".csv")) {
    source.mutable_csv()->set_file(options.input);
    source.mutable_csv()->set_label_column(-1000);
    source.mutable_csv()->set_header(options.header);
  } else if (absl::EndsWith(options.input, ".npy")) {
    source.mutable_npy()->set_features(options.input);
    source.mutable_npy()->set_tokens(product.data().train().npy().tokens());
  } else {
    source.mutable_idx()->set_images(options.input);
  }
  return source;
}

// `text` as it stands in a CSV file.
std::string Cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

struct Answers {
  int64_t width = 0;
  bool probabilities = false;
  std::vector<std::string> names;  // of the classes, or empty
  std::vector<float> rows;         // [samples, width]
};

absl::Status Write(const Options& options, const Answers& answers) {
  const int64_t samples = answers.rows.size() / answers.width;
  if (absl::EndsWith(options.output, ".npy")) {
    return WriteNpy(options.output, answers.rows.data(), samples,
                    answers.width);
  }
  // Classes first, as a column of their own, where rows are distributions.
  std::vector<std::string> header;
  std::vector<float> columns;
  if (answers.probabilities) header.push_back("class");
  for (int64_t c = 0; c < answers.width; ++c) {
    header.push_back(answers.probabilities && c < answers.names.size()
                         ? Cell(answers.names[c])
                         : absl::StrCat(answers.probabilities ? "p" : "y", c));
  }
  for (int64_t i = 0; i < samples; ++i) {
    const float* row = answers.rows.data() + i * answers.width;
    if (answers.probabilities) {
      columns.push_back(
          static_cast<float>(std::max_element(row, row + answers.width) - row));
    }
    columns.insert(columns.end(), row, row + answers.width);
  }
  return WriteCsv(options.output, header, columns.data(), samples,
                  static_cast<int64_t>(header.size()));
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  if (!absl::EndsWith(options.output, ".csv") &&
      !absl::EndsWith(options.output, ".npy")) {
    return Invalid("--output ", options.output, ": its name must end in .csv ",
                   "or .npy");
  }
  TAMER_ASSIGN_OR_RETURN(auto product, OpenProduct(options.product, registry));
  TAMER_ASSIGN_OR_RETURN(PredictionGraph prediction,
                         MakePredictionGraph(*product));
  if (options.bf16) {
    if (!CpuHasBf16()) return Invalid(kNoBf16);
    TAMER_ASSIGN_OR_RETURN(prediction.graph, Fuse(prediction.graph, BF16));
  }
  TAMER_ASSIGN_OR_RETURN(const DataSource source, Source(options, *product));
  TAMER_ASSIGN_OR_RETURN(const auto data, ReadDataset(source, ""));
  ThreadOptions threads;
  threads.intra_op = options.threads;
  Scheduler scheduler(threads);
  Answers answers;
  answers.probabilities = prediction.probabilities;
  answers.names.assign(product->manifest.class_name().begin(),
                       product->manifest.class_name().end());
  TAMER_RETURN_IF_ERROR(
      ForEachOutput(prediction.graph, prediction.output, *data,
                    product->ScalingFor(*data), &product->variables, &scheduler,
                    [&](const Tensor& rows, const Batch& batch) {
                      answers.width = rows.elements() / batch.size;
                      answers.rows.insert(answers.rows.end(), rows.floats(),
                                          rows.floats() + rows.elements());
                    }));
  TAMER_RETURN_IF_ERROR(Write(options, answers));
  if (options.json) {
    nlohmann::ordered_json json = {{"samples", data->size},
                                   {"outputs", answers.width},
                                   {"file", options.output}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s: %s samples, %s numbers each\n", options.output.c_str(),
                WithCommas(data->size).c_str(),
                WithCommas(answers.width).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddPredict(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "predict", "Write a trained network's answers to new samples.");
  command
      ->add_option("product", options->product,
                   "A run directory (its last finished stage) or a product.")
      ->required();
  command
      ->add_option("input", options->input,
                   "Samples: .csv (features only), .npy, IDX, plain or .gz; a "
                   "folder of PNG and JPEG files, or .txt, where the network "
                   "was trained on such.")
      ->required();
  command
      ->add_option("--output", options->output,
                   "Where to: .csv (with a header line) or .npy (float32).")
      ->required();
  command->add_flag("--header", options->header,
                    "The CSV input begins with a header line.");
  command
      ->add_option("--threads", options->threads,
                   "Threads inside each op; 0 for all cores.")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--bf16", options->bf16,
                    "Multiply in bfloat16; needs a CPU with AVX-512 BF16.");
  command->add_flag("--json", options->json, "Print the result as JSON.");
  command->footer(
      "Example: tamer predict runs/fashion-dbn new-images-idx3-ubyte.gz "
      "--output answers.csv");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
