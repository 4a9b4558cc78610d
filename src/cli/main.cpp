// dsv4: train, run and serve DeepSeek-V4 models on CPUs.
#include <cstdio>
#include <exception>
#include <string>

#include "cli/commands.h"

namespace {

constexpr int kOk = 0;
constexpr int kError = 1;
constexpr int kUsageError = 2;

int Run(int argc, char** argv) {
  CLI::App app("Runs DeepSeek-V4 models on ordinary CPUs, exactly.", "dsv4");
  app.require_subcommand(1);
  app.set_version_flag("--version", DSV_VERSION);
  dsv::cli::Action action;
  dsv::cli::AddRunCommand(app, action);
  dsv::cli::AddChatCommand(app, action);
  dsv::cli::AddDemoCommand(app, action);
  dsv::cli::AddInspectCommand(app, action);
  dsv::cli::AddScoreCommand(app, action);
  dsv::cli::AddEvalCommand(app, action);
  dsv::cli::AddFiguresCommand(app, action);
  dsv::cli::AddTokenizeCommand(app, action);
  dsv::cli::AddRenderCommand(app, action);
  dsv::cli::AddParseCommand(app, action);
  app.failure_message([](const CLI::App* parsed, const CLI::Error& error) {
    std::string command = "dsv4";
    for (const CLI::App* sub : parsed->get_subcommands()) command += " " + sub->get_name();
    return "dsv4: " + std::string(error.what()) + "; see " + command + " --help\n";
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsageError;
  }
  const dsv::Status status = action();
  if (status) return kOk;
  std::fprintf(stderr, "dsv4: %s\n", status.error().message.c_str());
  return kError;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "dsv4: %s\n", error.what());
    return kError;
  }
}
