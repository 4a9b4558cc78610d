// dsv4 inspect: what a checkpoint is, what it costs, and what is wrong with it.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "checkpoint/verify.h"
#include "cli/commands.h"
#include "cli/inspect_report.h"
#include "cli/progress.h"

namespace dsv::cli {
namespace {

struct Options {
  std::string directory;
  bool as_json = false;
  bool verify = false;
};

void Verify(const ModelConfig& config, const Checkpoint& checkpoint, InspectReport& report) {
  Progress progress("verify", "", 0, Progress::Unit::kBytes);
  ThreadPool pool(AvailableThreads());
  const auto problems = VerifyData(
      config, checkpoint, pool, [&](int64_t done, int64_t total) { progress.Update(done, total); });
  report.problems.insert(report.problems.end(), problems.begin(), problems.end());
}

Status Inspect(const Options& options) {
  DSV_ASSIGN(const ModelConfig config, LoadConfig(options.directory));
  DSV_ASSIGN(const Checkpoint checkpoint, Checkpoint::Open(options.directory));
  InspectReport report = MakeInspectReport(config, checkpoint);
  if (options.verify) Verify(config, checkpoint, report);
  const std::string text =
      options.as_json
          ? ReportAsJson(report).dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
          : ReportAsText(report);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return Fail("standard output: write failed");
  }
  if (report.problems.empty()) return {};
  const size_t others = report.problems.size() - 1;
  return Fail("{}{}", report.problems.front(),
              others == 0 ? "" : fmt::format(" (and {} more)", others));
}

}  // namespace

void AddInspectCommand(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show what a checkpoint is, what it costs to run, and what is wrong with it");
  command
      ->add_option("DIR", options->directory,
                   "Directory with config.json and the safetensors files")
      ->required();
  command->add_flag("--json", options->as_json, "Print one JSON object instead of tables");
  command->add_flag(
      "--verify", options->verify,
      "Also read the weights: NaN values, infinite scales, bad expert ids in tid2eid");
  command->callback([options, &action] { action = [options] { return Inspect(*options); }; });
}

}  // namespace dsv::cli
