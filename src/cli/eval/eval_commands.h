// The subcommands of `dsv4 eval`.
#pragma once

#include "cli/command.h"

namespace dsv::cli {

void AddNeedlesCommand(CLI::App& eval, Action& action);
void AddPerplexityCommand(CLI::App& eval, Action& action);

}  // namespace dsv::cli
