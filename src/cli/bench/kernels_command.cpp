// dsv4 bench kernels: each operator in the model's shapes against the roofs of this machine.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/bench/bench_commands.h"
#include "cli/bench/bench_flags.h"
#include "cli/bench/foreign_load.h"
#include "cli/bench/kernel_cases.h"
#include "cli/bench/machine.h"
#include "cli/bench/regression.h"
#include "cli/progress.h"
#include "kernels/kernels.h"

namespace dsv::cli {
namespace {

struct KernelsFlags {
  KernelCaseOptions cases;
  std::vector<int64_t> threads = {1, 2};
  std::string only;
  std::string base;
  double seconds = 0.1;
  double quiet_wait = 0;
  int64_t read_mib = 1024;
  int64_t weight_mib = 1024;
};

constexpr int64_t kLeastRuns = 3;
constexpr double kRoofAge = 5;  // seconds after which reading is measured again

class KernelsBench {
 public:
  KernelsBench(const KernelsFlags& flags, const Kernels& kernels)
      : flags_(flags), kernels_(kernels) {}

  Result<Json> Run() {
    json_ = {{"bench", "kernels"}, {"machine", DescribeMachine(kernels_.name)}};
    DSV_ASSIGN(machine_, Machine::Make(flags_.read_mib << 20));
    for (const int64_t threads : flags_.threads) {
      ThreadPool pool(threads);
      WaitForQuiet(flags_.quiet_wait);
      roofs_.push_back(machine_.Measure(pool, 1));
      json_["machine"]["roofs"].push_back(AsJson(roofs_.back()));
    }
    KernelCaseOptions options = flags_.cases;
    options.weight_bytes = flags_.weight_mib << 20;
    ThreadPool pool(std::ranges::max(flags_.threads));
    const auto visit = [this](const KernelCase& one) { Visit(one); };
    json_["figures"] = Json::array();
    DSV_TRY(ForEachLinearCase(options, pool, visit));
    DSV_TRY(ForEachLayerCase(options, pool, visit));
    return json_;
  }

 private:
  void Visit(const KernelCase& one) {
    const std::string name = fmt::format("{} {} {}", one.op, one.format, one.shape);
    if (name.find(flags_.only) == std::string::npos) return;
    for (MachineRoofs& roofs : roofs_) {
      ThreadPool pool(roofs.threads);
      WaitForQuiet(flags_.quiet_wait);
      if (since_roofs_.Seconds() > kRoofAge) Refresh();
      const ForeignLoad load;
      const OpContext context{kernels_, pool, Precision::kReference};
      one.run(context);
      Samples samples;
      const Stopwatch watch;
      while (std::ssize(samples.values) < kLeastRuns || watch.Seconds() < flags_.seconds) {
        samples.values.push_back(one.run(context));
      }
      json_["figures"].push_back(Figure(one, roofs, samples));
      json_["figures"].back()["foreign_percent"] = Rounded(load.PerCent(), 2);
      progress_.Update(std::ssize(json_["figures"]));
    }
  }

  void Refresh() {
    for (MachineRoofs& roofs : roofs_) {
      ThreadPool pool(roofs.threads);
      machine_.Refresh(pool, roofs);
    }
    since_roofs_ = {};
  }

  Json Figure(const KernelCase& one, const MachineRoofs& roofs, const Samples& samples) const {
    const double seconds = samples.Median();
    Json json{{"op", one.op},
              {"format", one.format},
              {"shape", one.shape},
              {"rows", one.rows},
              {"threads", roofs.threads},
              {"us", AsJson(samples, 1e6)},
              {"bytes", one.bytes},
              {"multiply_adds", one.multiply_adds}};
    if (seconds <= 0) return json;
    json["read_roof_gb_s"] = Rounded(1e-9 * roofs.ReadRate());
    json["gb_s"] = Rounded(1e-9 * static_cast<double>(one.bytes) / seconds);
    if (one.multiply_adds == 0) return json;  // reads what was just written: no roof
    const double operations = 2 * static_cast<double>(one.multiply_adds);
    json["gop_s"] = Rounded(1e-9 * operations / seconds);
    const double read = static_cast<double>(one.bytes) / roofs.ReadRate();
    const double compute = operations / Peak(one.arithmetic, roofs, "");
    json["binds"] = read > compute ? "read" : "compute";
    json["roof_percent"] = Rounded(100 * std::max(read, compute) / seconds, 3);
    const double own = operations / Peak(one.arithmetic, roofs, kernels_.name);
    json["isa_roof_percent"] = Rounded(100 * std::max(read, own) / seconds, 3);
    return json;
  }

  // What the arithmetic could do at best; bf16 products may be made of floats too.
  static double Peak(Arithmetic arithmetic, const MachineRoofs& roofs, std::string_view isa) {
    if (arithmetic == Arithmetic::kInt8) {
      const double peak = BestRate(roofs.int8, isa);
      return peak > 0 ? peak : BestRate(roofs.fp32, isa);
    }
    const double fp32 = BestRate(roofs.fp32, isa);
    return arithmetic == Arithmetic::kFp32 ? fp32 : std::max(fp32, BestRate(roofs.bf16, isa));
  }

  const KernelsFlags& flags_;
  const Kernels& kernels_;
  Progress progress_{"bench kernels", "figures", 0};
  Machine machine_;
  std::vector<MachineRoofs> roofs_;
  Stopwatch since_roofs_;
  Json json_;
};

Status Run(const KernelsFlags& flags) {
  DSV_ASSIGN(const Kernels* kernels, SelectKernels(ForcedIsa()));
  Json json;
  {
    KernelsBench bench(flags, *kernels);
    DSV_ASSIGN(json, bench.Run());
  }
  return PrintAndCompare(std::move(json), flags.base);
}

}  // namespace

void AddKernelsBench(CLI::App& bench, Action& action) {
  CLI::App* command = bench.add_subcommand(
      "kernels", "Each operator of V4-Flash by format, shape and rows; DSV_ISA chooses the set");
  const auto flags = std::make_shared<KernelsFlags>();
  AddListFlag(*command, "--rows", flags->cases.rows, "Rows of activations", 1, 1 << 14);
  AddListFlag(*command, "--keys", flags->cases.keys, "Keys of index scans, multiples of 32", 1024,
              1 << 20);
  AddListFlag(*command, "--threads", flags->threads, "Numbers of threads", 1, 1024);
  command->add_option("--only", flags->only, "Only figures whose 'op format shape' contains this")
      ->type_name("TEXT");
  AddBaseFlag(*command, flags->base);
  AddSecondsFlag(*command, flags->seconds);
  AddQuietFlag(*command, flags->quiet_wait);
  AddNumberFlag(*command, "--read-mib", flags->read_mib,
                "MiB that are read to measure the bandwidth", 1, 1 << 20);
  AddNumberFlag(*command, "--weight-mib", flags->weight_mib,
                "MiB of weights that calls take turns in: more than the caches hold", 64, 1 << 20);
  AddNumberFlag(*command, "--experts", flags->cases.experts,
                "Routed experts of the layers whose router is measured; they take 13 MB each", 6,
                1024);
  AddNumberFlag(*command, "--shrink", flags->cases.scale,
                "Makes products smaller by this factor in each direction, to try the command", 1,
                8);
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
