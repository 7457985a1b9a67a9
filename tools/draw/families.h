#ifndef TAMER_TOOLS_DRAW_FAMILIES_H_
#define TAMER_TOOLS_DRAW_FAMILIES_H_

#include "core/op/op.h"

namespace tamer {

// What operations are told apart by in pictures.
struct Family {
  const char* name;    // for the legend
  const char* fill;    // of its boxes
  const char* border;  // of the same hue, to be seen on white and on black
};

// The family of an op, by the file of its schema; a plugin's ops are one.
const Family& FamilyOf(const Op& op);

// What no op belongs to: a block that is drawn as one box.
const Family& BlockFamily();

}  // namespace tamer

#endif  // TAMER_TOOLS_DRAW_FAMILIES_H_
