// dsv4 bench: how close the engine comes to what this machine can do.
#include "cli/bench/bench_commands.h"
#include "cli/commands.h"

namespace dsv::cli {

void AddBenchCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("bench", "Measures the engine against this machine");
  command->require_subcommand(1);
  AddMachineBench(*command, action);
  AddKernelsBench(*command, action);
  AddFlashBench(*command, action);
  AddCompareBench(*command, action);
}

}  // namespace dsv::cli
