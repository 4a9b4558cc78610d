// All subcommands of dsv4, in the order of `dsv4 --help`.
#pragma once

#include "cli/command.h"

namespace dsv::cli {

void AddRunCommand(CLI::App& app, Action& action);
void AddChatCommand(CLI::App& app, Action& action);
void AddReadCommand(CLI::App& app, Action& action);
void AddDemoCommand(CLI::App& app, Action& action);
void AddInspectCommand(CLI::App& app, Action& action);
void AddScoreCommand(CLI::App& app, Action& action);
void AddEvalCommand(CLI::App& app, Action& action);
void AddFiguresCommand(CLI::App& app, Action& action);
void AddBenchCommand(CLI::App& app, Action& action);
void AddTokenizeCommand(CLI::App& app, Action& action);
void AddRenderCommand(CLI::App& app, Action& action);
void AddParseCommand(CLI::App& app, Action& action);
void AddStoreCommand(CLI::App& app, Action& action);

}  // namespace dsv::cli
