#ifndef TAMER_TOOLS_REPORT_PAGE_FILES_H_
#define TAMER_TOOLS_REPORT_PAGE_FILES_H_

#include <map>
#include <string>

namespace tamer {

// The files of tools/report/page, in the binary, by name.
std::map<std::string, std::string> PageFiles();

}  // namespace tamer

#endif  // TAMER_TOOLS_REPORT_PAGE_FILES_H_
