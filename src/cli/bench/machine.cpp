#include "cli/bench/machine.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

namespace dsv::cli {
namespace {

constexpr int64_t kTries = 3;  // of each way to read
constexpr int64_t kRuns = 7;   // of the best one, and of each loop
constexpr int64_t kStreams[] = {1, 2, 4, 8};

void Touch(std::span<std::byte> bytes) {
  for (size_t i = 0; i < bytes.size(); i += 4096) bytes[i] = std::byte{1};
}

double Rate(ThreadPool& pool, const PeakLoop& loop, int64_t rounds) {
  std::atomic<int64_t> sink{0};  // so that no loop is dropped
  const Stopwatch watch;
  pool.ParallelFor(pool.size(), [&](int64_t, int64_t) {
    sink.fetch_add(loop.run(rounds) > 0 ? 1 : 0, std::memory_order_relaxed);
  });
  return static_cast<double>(rounds * loop.operations * pool.size()) / watch.Seconds();
}

// The rate of `runs` runs that take about `seconds` together.
Samples Rates(ThreadPool& pool, const PeakLoop& loop, double seconds) {
  const auto operations = static_cast<double>(loop.operations * pool.size());
  int64_t rounds = 1 << 10;
  while (static_cast<double>(rounds) * operations / Rate(pool, loop, rounds) < seconds / kRuns) {
    rounds *= 2;
  }
  Samples rate;
  for (int64_t i = 0; i < kRuns; ++i) rate.values.push_back(Rate(pool, loop, rounds));
  return rate;
}

Json AsJson(const std::vector<ComputeRoof>& roofs) {
  Json json = Json::object();
  for (const ComputeRoof& roof : roofs) {
    json[roof.isa->name] = {{"gop_s", Rounded(roof.rate.Median() * 1e-9)},
                            {"spread", Rounded(roof.rate.Spread(), 2)}};
  }
  return json;
}

// The instruction sets of Kernels and of PeakKernels from the least to the best.
int64_t Level(std::string_view isa) {
  constexpr std::string_view kLevels[] = {"scalar",     "avx2",       "avx512",
                                          "avx512vnni", "avx512bf16", "amx"};
  // Kernels named avx512 use VNNI where the machine has it.
  if (isa == "avx512vnni") isa = "avx512";
  return std::ranges::find(kLevels, isa) - std::begin(kLevels);
}

}  // namespace

double BestRate(const std::vector<ComputeRoof>& roofs, std::string_view isa) {
  double best = 0;
  for (const ComputeRoof& roof : roofs) {
    if (isa.empty() || Level(roof.isa->name) <= Level(isa)) {
      best = std::max(best, roof.rate.Median());
    }
  }
  return best;
}

Result<Machine> Machine::Make(int64_t read_bytes) {
  Machine machine;
  DSV_ASSIGN(machine.buffer_, HugeBuffer::Make(read_bytes));
  Touch(machine.buffer_.bytes());
  for (const PeakKernels* kernels : MachinePeaks()) {
    if (kernels->read != nullptr) machine.reader_ = kernels;
  }
  return machine;
}

// Every thread reads a part of the buffer of its own, once.
double Machine::ReadRate(ThreadPool& pool, const MachineRoofs& way) const {
  const std::span<const std::byte> bytes = buffer_.bytes();
  const int64_t streams = way.read_streams;
  const int64_t parts = pool.size() * streams;
  const int64_t part = std::ssize(bytes) / parts / kPeakReadStep * kPeakReadStep;
  std::atomic<uint64_t> sink{0};
  const Stopwatch watch;
  pool.ParallelFor(pool.size(), [&](int64_t i, int64_t) {
    PeakRead read{{}, streams, part, way.read_prefetch};
    for (int64_t s = 0; s < streams; ++s) read.streams[s] = bytes.data() + (i * streams + s) * part;
    sink.fetch_add(reader_->read(read), std::memory_order_relaxed);
  });
  return static_cast<double>(parts * part) / watch.Seconds();
}

MachineRoofs Machine::Measure(ThreadPool& pool, double seconds) const {
  MachineRoofs roofs;
  roofs.threads = pool.size();
  std::pair<double, MachineRoofs> best;
  for (const int64_t prefetch : kPeakPrefetch) {
    for (const int64_t streams : kStreams) {
      MachineRoofs way;
      way.read_streams = streams;
      way.read_prefetch = prefetch;
      Samples rate;
      for (int64_t i = 0; i < kTries; ++i) rate.values.push_back(ReadRate(pool, way));
      if (rate.Median() > best.first) best = {rate.Median(), way};
    }
  }
  roofs.read_streams = best.second.read_streams;
  roofs.read_prefetch = best.second.read_prefetch;
  for (int64_t i = 0; i < kRuns; ++i) roofs.read.values.push_back(ReadRate(pool, roofs));

  const std::vector<const PeakKernels*> peaks = MachinePeaks();
  const double each = seconds / static_cast<double>(2 * peaks.size());
  const auto add = [&](const PeakKernels& isa, const PeakLoop& loop,
                       std::vector<ComputeRoof>& list) {
    if (loop.run != nullptr) list.push_back({&isa, &loop, Rates(pool, loop, each)});
  };
  for (const PeakKernels* isa : peaks) {
    add(*isa, isa->fp32, roofs.fp32);
    add(*isa, isa->bf16, roofs.bf16);
    add(*isa, isa->int8, roofs.int8);
  }
  return roofs;
}

void Machine::Refresh(ThreadPool& pool, MachineRoofs& roofs) const {
  Samples read;
  for (int64_t i = 0; i < kRuns; ++i) read.values.push_back(ReadRate(pool, roofs));
  roofs.read = std::move(read);
  if (roofs.bf16.empty()) return;
  ComputeRoof& best = roofs.bf16.back();
  best.rate = Rates(pool, *best.loop, 0.05);
}

Json AsJson(const MachineRoofs& roofs) {
  return {{"threads", roofs.threads},           {"read_gb_s", AsJson(roofs.read, 1e-9)},
          {"read_streams", roofs.read_streams}, {"read_prefetch", roofs.read_prefetch},
          {"fp32_fma", AsJson(roofs.fp32)},     {"bf16_dot", AsJson(roofs.bf16)},
          {"int8_dot", AsJson(roofs.int8)}};
}

Json DescribeMachine(const char* isa) {
  std::string model = "unknown";
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) != 0 || line.find(": ") == std::string::npos) continue;
    model = line.substr(line.find(": ") + 2);
    break;
  }
  return {{"cpu", model}, {"available_threads", AvailableThreads()}, {"isa", isa}};
}

}  // namespace dsv::cli
