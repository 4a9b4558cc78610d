// The subcommands of dsv4 bench.
#pragma once

#include "cli/command.h"

namespace dsv::cli {

void AddMachineBench(CLI::App& bench, Action& action);
void AddKernelsBench(CLI::App& bench, Action& action);
void AddFlashBench(CLI::App& bench, Action& action);
void AddCompareBench(CLI::App& bench, Action& action);

}  // namespace dsv::cli
