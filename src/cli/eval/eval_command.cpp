// dsv4 eval: what a model remembers of long texts.
#include "cli/commands.h"
#include "cli/eval/eval_commands.h"

namespace dsv::cli {

void AddEvalCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("eval", "Measures what a model remembers of long texts");
  command->require_subcommand(1);
  AddNeedlesCommand(*command, action);
  AddPerplexityCommand(*command, action);
}

}  // namespace dsv::cli
