#include "cli/bench/machine.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <string>

#include "cli/bench/huge_buffer.h"
#include "kernels/peaks.h"

namespace dsv::cli {
namespace {

constexpr int64_t kReadRuns = 5;
constexpr int64_t kComputeRuns = 5;

void Touch(ThreadPool& pool, std::span<std::byte> bytes) {
  constexpr int64_t kPiece = 2 << 20;
  pool.ParallelFor((std::ssize(bytes) + kPiece - 1) / kPiece, [&](int64_t i, int64_t) {
    const auto begin = static_cast<size_t>(i * kPiece);
    const size_t size = std::min<size_t>(kPiece, bytes.size() - begin);
    std::memset(bytes.data() + begin, static_cast<int>(i & 0x3F), size);
  });
}

// Seconds to read all of `bytes` once, every thread its own part in `streams` at a time.
double ReadOnce(ThreadPool& pool, const PeakKernels& kernels, std::span<const std::byte> bytes,
                int64_t streams, bool prefetch) {
  const int64_t parts = pool.size() * streams;
  const int64_t part = std::ssize(bytes) / parts / kPeakReadStep * kPeakReadStep;
  std::atomic<uint64_t> sink{0};  // so that no loop is dropped
  const Stopwatch watch;
  pool.ParallelFor(pool.size(), [&](int64_t i, int64_t) {
    PeakRead read{{}, streams, part, prefetch};
    for (int64_t s = 0; s < streams; ++s) read.streams[s] = bytes.data() + (i * streams + s) * part;
    sink.fetch_add(kernels.read(read), std::memory_order_relaxed);
  });
  return watch.Seconds() * static_cast<double>(std::ssize(bytes)) /
         static_cast<double>(parts * part);
}

// The best way of reading, by the median.
void MeasureRead(ThreadPool& pool, const PeakKernels& kernels, std::span<const std::byte> bytes,
                 MachineRoofs& roofs) {
  for (const bool prefetch : {false, true}) {
    for (int64_t streams = 1; streams <= kPeakStreams; streams *= 2) {
      Samples rate;
      for (int64_t run = 0; run < kReadRuns; ++run) {
        rate.values.push_back(static_cast<double>(std::ssize(bytes)) /
                              ReadOnce(pool, kernels, bytes, streams, prefetch));
      }
      if (rate.Median() <= roofs.read.Median()) continue;
      roofs.read = std::move(rate);
      roofs.read_streams = streams;
      roofs.read_prefetch = prefetch;
    }
  }
}

Samples MeasureLoop(ThreadPool& pool, const PeakLoop& loop, double seconds) {
  std::atomic<uint64_t> sink{0};
  const auto run = [&](int64_t rounds) {
    const Stopwatch watch;
    pool.ParallelFor(pool.size(), [&](int64_t, int64_t) {
      sink.fetch_add(loop.run(rounds) > 0 ? 1 : 0, std::memory_order_relaxed);
    });
    return watch.Seconds();
  };
  int64_t rounds = 1 << 10;
  while (run(rounds) < seconds / 8) rounds *= 2;
  Samples rate;
  for (int64_t i = 0; i < kComputeRuns; ++i) {
    rate.values.push_back(static_cast<double>(rounds * loop.operations * pool.size()) /
                          run(rounds));
  }
  return rate;
}

Json AsJson(const std::vector<ComputeRoof>& roofs) {
  Json json = Json::object();
  for (const ComputeRoof& roof : roofs) {
    json[roof.isa] = {{"gop_s", Rounded(roof.rate.Median() * 1e-9)},
                      {"spread", Rounded(roof.rate.Spread(), 2)}};
  }
  return json;
}

}  // namespace

double BestRate(const std::vector<ComputeRoof>& roofs) {
  double best = 0;
  for (const ComputeRoof& roof : roofs) best = std::max(best, roof.rate.Median());
  return best;
}

double RateOf(const std::vector<ComputeRoof>& roofs, const char* isa) {
  for (const ComputeRoof& roof : roofs) {
    if (std::strcmp(roof.isa, isa) == 0) return roof.rate.Median();
  }
  return 0;
}

Result<MachineRoofs> MeasureMachine(ThreadPool& pool, const MachineOptions& options) {
  const std::vector<const PeakKernels*> peaks = MachinePeaks();
  MachineRoofs roofs;
  roofs.threads = pool.size();
  DSV_ASSIGN(const HugeBuffer buffer, HugeBuffer::Make(options.read_bytes));
  Touch(pool, buffer.bytes());
  const PeakKernels* reader = nullptr;
  for (const PeakKernels* kernels : peaks) reader = kernels->read ? kernels : reader;
  MeasureRead(pool, *reader, buffer.bytes(), roofs);
  const double seconds = options.seconds / static_cast<double>(3 * peaks.size());
  const auto add = [&](const PeakKernels& kernels, const PeakLoop& loop,
                       std::vector<ComputeRoof>& list) {
    if (loop.run == nullptr) return;
    list.push_back({kernels.name, MeasureLoop(pool, loop, seconds)});
  };
  for (const PeakKernels* kernels : peaks) {
    add(*kernels, kernels->fp32, roofs.fp32);
    add(*kernels, kernels->bf16, roofs.bf16);
    add(*kernels, kernels->int8, roofs.int8);
  }
  return roofs;
}

Json AsJson(const MachineRoofs& roofs) {
  return {{"threads", roofs.threads},
          {"read_gb_s", AsJson(roofs.read, 1e-9)},
          {"read_streams", roofs.read_streams},
          {"read_prefetch", roofs.read_prefetch},
          {"fp32_fma", AsJson(roofs.fp32)},
          {"bf16_dot", AsJson(roofs.bf16)},
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
