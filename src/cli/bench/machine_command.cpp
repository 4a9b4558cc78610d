// dsv4 bench machine: the roofs alone.
#include <fmt/format.h>

#include <memory>
#include <vector>

#include "cli/bench/bench_commands.h"
#include "cli/bench/machine.h"
#include "cli/flag_checks.h"
#include "cli/reply_printer.h"
#include "kernels/kernels.h"

namespace dsv::cli {
namespace {

struct MachineFlags {
  std::vector<int64_t> threads = {1, 2};
  double seconds = 1;
  int64_t read_mib = 2048;
};

Status Run(const MachineFlags& flags) {
  DSV_ASSIGN(const Kernels* kernels, SelectKernels(ForcedIsa()));
  Json json{{"bench", "machine"}, {"machine", DescribeMachine(kernels->name)}};
  for (const int64_t threads : flags.threads) {
    ThreadPool pool(threads);
    DSV_ASSIGN(const MachineRoofs roofs, MeasureMachine(pool, {flags.read_mib << 20, flags.seconds}));
    json["machine"]["roofs"].push_back(AsJson(roofs));
  }
  fmt::print("{}\n", json.dump(1));
  return CheckStandardOutput();
}

}  // namespace

void AddMachineBench(CLI::App& bench, Action& action) {
  CLI::App* command =
      bench.add_subcommand("machine", "Read bandwidth and dot products of this machine");
  const auto flags = std::make_shared<MachineFlags>();
  command->add_option("--threads", flags->threads, "Numbers of threads")
      ->delimiter(',')
      ->check(WholeNumber<int64_t>(1, 1024))
      ->capture_default_str()
      ->type_name("N,...");
  command->add_option("--seconds", flags->seconds, "Time for the loops of a thread count, about")
      ->check(CLI::Range(0.001, 600.0))
      ->capture_default_str();
  command->add_option("--read-mib", flags->read_mib, "Memory that is read to measure the bandwidth")
      ->check(WholeNumber<int64_t>(1, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
