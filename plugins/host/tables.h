#ifndef TAMER_PLUGINS_HOST_TABLES_H_
#define TAMER_PLUGINS_HOST_TABLES_H_

#include <algorithm>
#include <cstring>

#include "core/base/shape.h"
#include "core/base/tensor.h"
#include "plugins/tamer_plugin.h"

namespace tamer {

// A plugin's table as this host knows it: members beyond the table's
// struct_size, which its maker didn't know, are zero; those that the host
// doesn't know are left out.
template <typename Table>
Table Take(const Table* table) {
  Table taken;
  std::memset(&taken, 0, sizeof(taken));
  std::memcpy(&taken, table,
              std::min<size_t>(table->struct_size, sizeof(taken)));
  taken.struct_size = sizeof(taken);
  return taken;
}

// A zeroed struct of the host's, its size set.
template <typename Table>
Table Make() {
  Table made;
  std::memset(&made, 0, sizeof(made));
  made.struct_size = sizeof(made);
  return made;
}

// The C view of a type, without data. `type` must outlive it.
inline TamerTensor ViewOf(const TensorType& type) {
  TamerTensor view;
  view.data = nullptr;
  view.dims = type.shape.dims().data();
  view.elements = type.shape.elements();
  view.rank = type.shape.rank();
  view.type = type.dtype == DType::kFloat   ? TAMER_FLOAT
              : type.dtype == DType::kInt32 ? TAMER_INT32
                                            : TAMER_UINT8;
  return view;
}

}  // namespace tamer

#endif  // TAMER_PLUGINS_HOST_TABLES_H_
