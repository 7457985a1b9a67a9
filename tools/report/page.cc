#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tools/report/page_files.h"
#include "tools/report/report.h"

namespace tamer {
namespace {

// Scripts in the order of their use.
constexpr const char* kScripts[] = {"page.js",   "ticks.js",     "chart.js",
                                    "ridges.js", "confusion.js", "sections.js",
                                    "main.js"};

}  // namespace

std::string ReportPage(const nlohmann::ordered_json& data, bool live) {
  const std::map<std::string, std::string> files = PageFiles();
  std::string script;
  for (const char* name : kScripts) script += files.at(name);
  nlohmann::ordered_json all = data;
  all["live"] = live;
  // What stands in a script element ends at the first "</".
  const std::string text = absl::StrReplaceAll(
      all.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace),
      {{"<", "\\u003c"}});
  std::string page = files.at("index.html");
  // In one go: what is put in is not searched.
  return absl::StrReplaceAll(page, {{"@STYLE@", files.at("style.css")},
                                    {"@DATA@", text},
                                    {"@SCRIPT@", script}});
}

}  // namespace tamer
