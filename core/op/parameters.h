#ifndef TAMER_CORE_OP_PARAMETERS_H_
#define TAMER_CORE_OP_PARAMETERS_H_

#include <string>

#include "core/op/op.h"

// Parameters of ops that are known by their names alone.

namespace tamer {

// An enum parameter's value, "" if the op has none so called.
std::string EnumParameter(const OpParams& params, const std::string& name);

// A number, `otherwise` if the op has none so called.
double NumberParameter(const OpParams& params, const std::string& name,
                       double otherwise);

// Of an op that bends its input and changes nothing else, the name under which
// layers carry it as the parameter `activation`: "SIGMOID"; else "".
std::string ActivationOp(const std::string& op);

}  // namespace tamer

#endif  // TAMER_CORE_OP_PARAMETERS_H_
