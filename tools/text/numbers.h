#ifndef TAMER_TOOLS_TEXT_NUMBERS_H_
#define TAMER_TOOLS_TEXT_NUMBERS_H_

#include <cstdint>
#include <string>

// Numbers as people read them.

namespace tamer {

// "1,234,567".
std::string WithCommas(int64_t number);
// "1.5 MiB".
std::string BytesText(int64_t bytes);
// "1:02:03" or "2:03".
std::string DurationText(double seconds);
// "0.02134": enough digits to compare, no more.
std::string NumberText(double value);

}  // namespace tamer

#endif  // TAMER_TOOLS_TEXT_NUMBERS_H_
