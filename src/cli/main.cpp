// dsv4: train, run and serve DeepSeek-V4 models on CPUs.
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace {

constexpr int kOk = 0;
constexpr int kError = 1;
constexpr int kUsageError = 2;

// The line for a command line that cannot be understood.
std::string UsageMessage(const CLI::App* app, const CLI::Error& error) {
  std::string command = "dsv4";
  for (const CLI::App* sub : app->get_subcommands()) command += " " + sub->get_name();
  std::string what = error.what();
  if (app->get_subcommands().empty()) {
    const std::vector<std::string> words = app->remaining();
    what = "expected a command, found " + (words.empty() ? "none" : "'" + words.front() + "'");
  }
  return "dsv4: " + dsv::OneLine(what) + "; see " + command + " --help\n";
}

int Run(int argc, char** argv) {
  CLI::App app("Runs DeepSeek-V4 models on ordinary CPUs, exactly.", "dsv4");
  app.require_subcommand(1);
  app.set_version_flag("--version", DSV_VERSION);
  dsv::cli::Action action;
  dsv::cli::AddRunCommand(app, action);
  dsv::cli::AddChatCommand(app, action);
  dsv::cli::AddReadCommand(app, action);
  dsv::cli::AddDemoCommand(app, action);
  dsv::cli::AddInspectCommand(app, action);
  dsv::cli::AddScoreCommand(app, action);
  dsv::cli::AddEvalCommand(app, action);
  dsv::cli::AddFiguresCommand(app, action);
  dsv::cli::AddBenchCommand(app, action);
  dsv::cli::AddTokenizeCommand(app, action);
  dsv::cli::AddRenderCommand(app, action);
  dsv::cli::AddParseCommand(app, action);
  app.failure_message(UsageMessage);
  dsv::cli::AddStoreCommand(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app.exit(error) != 0) return kUsageError;
    return std::cout.flush() ? kOk : kError;  // --help
  }
  const dsv::Status status = action();
  if (status) return kOk;
  std::fprintf(stderr, "dsv4: %s\n", status.error().message.c_str());
  return kError;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows too large is an error of the write
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "dsv4: %s\n", error.what());
    return kError;
  }
}
