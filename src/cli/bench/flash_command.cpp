// dsv4 bench flash: what exact-shape layers of DeepSeek-V4 Flash cost on this machine.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/bench/bench_commands.h"
#include "cli/bench/bench_flags.h"
#include "cli/bench/flash_report.h"
#include "cli/bench/foreign_load.h"
#include "cli/bench/regression.h"
#include "cli/progress.h"
#include "kernels/kernels.h"

namespace dsv::cli {
namespace {

struct FlashFlags {
  SyntheticShape shape;
  std::vector<int64_t> contexts = {0, 4096, 32768, 131072, 1048576};
  std::vector<int64_t> threads = {1, 2};
  std::vector<int64_t> prefill;
  int64_t prefill_context = 0;
  double seconds = 2;
  double quiet_wait = 0;
  int64_t read_mib = 1024;
  std::string base;
};

class FlashBench {
 public:
  FlashBench(const FlashFlags& flags, const Kernels& kernels)
      : flags_(flags),
        kernels_(kernels),
        progress_("bench flash", "figures",
                  std::ssize(flags.threads) *
                      (1 + std::ssize(flags.contexts) + std::ssize(flags.prefill))) {}

  Result<Json> Run() {
    DSV_TRY(MeasureRoofs());
    {
      ThreadPool pool(std::ranges::max(flags_.threads));
      DSV_ASSIGN(model_, SyntheticModel::Make(SyntheticConfig(flags_.shape), pool));
      json_["huge_pages_gb"] = Rounded(1e-9 * static_cast<double>(HugePageBytes()));
    }
    for (const int64_t context : flags_.contexts) DSV_TRY(Decode(context));
    if (!flags_.prefill.empty()) DSV_TRY(Prefill());
    AddGrowth();
    return json_;
  }

 private:
  Status MeasureRoofs() {
    json_["bench"] = "flash";
    json_["machine"] = DescribeMachine(kernels_.name);
    DSV_ASSIGN(machine_, Machine::Make(flags_.read_mib << 20));
    for (const int64_t threads : flags_.threads) {
      ThreadPool pool(threads);
      WaitForQuiet(flags_.quiet_wait);
      const ForeignLoad load;
      roofs_.push_back(machine_.Measure(pool, flags_.seconds / 2));
      json_["machine"]["roofs"].push_back(AsJson(roofs_.back()));
      json_["machine"]["roofs"].back()["foreign_percent"] = Rounded(load.PerCent(), 2);
      progress_.Update(++done_);
    }
    json_["model"] = {{"layers", flags_.shape.layers},
                      {"experts", flags_.shape.experts},
                      {"vocabulary", flags_.shape.vocabulary}};
    return {};
  }

  SessionState StateAt(int64_t context) const {
    ThreadPool pool(std::ranges::max(flags_.threads));
    return SyntheticState(model_.config(), context, pool);
  }

  Status Decode(int64_t context) {
    const SessionState state = StateAt(context);
    for (MachineRoofs& roofs : roofs_) {
      ThreadPool pool(roofs.threads);
      WaitForQuiet(flags_.quiet_wait);
      const ForeignLoad load;
      machine_.Refresh(pool, roofs);
      DSV_ASSIGN(PassTimes times,
                 MeasurePasses(model_, kernels_, pool, state, {.seconds = flags_.seconds}));
      const PassFigure figure{context, 1, &roofs, std::move(times)};
      json_["decode"].push_back(DecodeReport(model_, figure));
      json_["decode"].back()["foreign_percent"] = Rounded(load.PerCent(), 2);
      if (const auto seconds = PublishedSeconds(model_, figure.times)) {
        published_.push_back({context, roofs.threads, *seconds});
      }
      progress_.Update(++done_);
    }
    return {};
  }

  Status Prefill() {
    const SessionState state = StateAt(flags_.prefill_context);
    for (const int64_t tokens : flags_.prefill) {
      for (MachineRoofs& roofs : roofs_) {
        ThreadPool pool(roofs.threads);
        WaitForQuiet(flags_.quiet_wait);
        const ForeignLoad load;
        machine_.Refresh(pool, roofs);
        const PassOptions options{
            .tokens = tokens, .restart = true, .warm_up = 0, .least = 2, .seconds = flags_.seconds};
        DSV_ASSIGN(PassTimes times, MeasurePasses(model_, kernels_, pool, state, options));
        json_["prefill"].push_back(
            PrefillReport(model_, {flags_.prefill_context, tokens, &roofs, std::move(times)}));
        json_["prefill"].back()["foreign_percent"] = Rounded(load.PerCent(), 2);
        progress_.Update(++done_);
      }
    }
    return {};
  }

  // Decoding with the longest context against that with 4096 tokens, all 43 layers.
  void AddGrowth() {
    const int64_t longest = std::ranges::max(flags_.contexts);
    for (const Published& from : published_) {
      if (from.context != 4096 || longest <= 4096) continue;
      for (const Published& to : published_) {
        if (to.context != longest || to.threads != from.threads) continue;
        json_["growth"].push_back({{"threads", from.threads},
                                   {"from_context", from.context},
                                   {"to_context", to.context},
                                   {"published_model_ratio", Rounded(to.seconds / from.seconds)}});
      }
    }
  }

  struct Published {
    int64_t context;
    int64_t threads;
    double seconds;
  };

  const FlashFlags& flags_;
  const Kernels& kernels_;
  Progress progress_;
  int64_t done_ = 0;
  Machine machine_;
  std::vector<MachineRoofs> roofs_;
  SyntheticModel model_;
  std::vector<Published> published_;
  Json json_;
};

Status CheckContexts(const FlashFlags& flags) {
  std::vector<int64_t> contexts = flags.contexts;
  contexts.push_back(flags.prefill_context);
  for (const int64_t context : contexts) {
    if (context % kBlockTokens == 0) continue;
    return Fail("contexts: expected multiples of {}, found {}", kBlockTokens, context);
  }
  return {};
}

Status Run(const FlashFlags& flags) {
  DSV_TRY(CheckContexts(flags));
  DSV_ASSIGN(const Kernels* kernels, SelectKernels(ForcedIsa()));
  Json json;
  {
    FlashBench bench(flags, *kernels);
    DSV_ASSIGN(json, bench.Run());
  }
  return PrintAndCompare(std::move(json), flags.base);
}

}  // namespace

void AddFlashBench(CLI::App& bench, Action& action) {
  CLI::App* command = bench.add_subcommand(
      "flash", "Decoding and prefill of exact-shape layers of V4-Flash with random weights");
  const auto flags = std::make_shared<FlashFlags>();
  AddNumberFlag(*command, "--layers", flags->shape.layers, "Layers: SWA, CSA, HCA, CSA, HCA, ...",
                1, 43);
  AddNumberFlag(*command, "--experts", flags->shape.experts,
                "Routed experts of a layer, of which a token uses 6; 256 take 3.4 GB in each layer",
                6, 4096);
  AddNumberFlag(*command, "--vocab", flags->shape.vocabulary,
                "Rows of the embedding and of the head", 1, 1 << 20);
  AddListFlag(*command, "--context", flags->contexts,
              "Tokens before the decoded ones, multiples of 128", 0, 1 << 20);
  AddListFlag(*command, "--threads", flags->threads, "Numbers of threads", 1, 1024);
  AddListFlag(*command, "--prefill", flags->prefill, "Sizes of chunks to prefill; default: none", 1,
              1 << 16);
  AddNumberFlag(*command, "--prefill-context", flags->prefill_context, "Tokens before such a chunk",
                0, 1 << 20);
  AddSecondsFlag(*command, flags->seconds);
  AddQuietFlag(*command, flags->quiet_wait);
  AddBaseFlag(*command, flags->base);
  AddNumberFlag(*command, "--read-mib", flags->read_mib,
                "MiB that are read to measure the bandwidth", 1, 1 << 20);
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
