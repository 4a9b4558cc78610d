// dsv4 bench machine: the roofs alone.
#include <fmt/format.h>

#include <memory>
#include <vector>

#include "cli/bench/bench_commands.h"
#include "cli/bench/bench_flags.h"
#include "cli/bench/machine.h"
#include "cli/reply_printer.h"
#include "kernels/kernels.h"

namespace dsv::cli {
namespace {

struct MachineFlags {
  std::vector<int64_t> threads = {1, 2};
  double seconds = 1;
  int64_t read_mib = 1024;
};

Status Run(const MachineFlags& flags) {
  DSV_ASSIGN(const Kernels* kernels, SelectKernels(ForcedIsa()));
  Json json{{"bench", "machine"}, {"machine", DescribeMachine(kernels->name)}};
  DSV_ASSIGN(const Machine machine, Machine::Make(flags.read_mib << 20));
  for (const int64_t threads : flags.threads) {
    ThreadPool pool(threads);
    json["machine"]["roofs"].push_back(AsJson(machine.Measure(pool, flags.seconds)));
  }
  fmt::print("{}\n", json.dump(1));
  return CheckStandardOutput();
}

}  // namespace

void AddMachineBench(CLI::App& bench, Action& action) {
  CLI::App* command =
      bench.add_subcommand("machine", "Read bandwidth and dot products of this machine");
  const auto flags = std::make_shared<MachineFlags>();
  AddListFlag(*command, "--threads", flags->threads, "Numbers of threads", 1, 1024);
  AddSecondsFlag(*command, flags->seconds);
  AddNumberFlag(*command, "--read-mib", flags->read_mib,
                "MiB that are read to measure the bandwidth", 1, 1 << 20);
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
