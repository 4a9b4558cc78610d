// Kills a process that writes to a prefix store, N times at random moments, and checks each time
// that everything acknowledged is there and verifies: store_kill_bench [N [SEED]]
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>

#include "store/kill_loop_test_util.h"
#include "support/temp_dir.h"

int main(int argc, char** argv) {
  const int64_t kills = argc > 1 ? std::atoll(argv[1]) : 1000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const dsv::testing::TempDir directory;
  const auto start = std::chrono::steady_clock::now();
  const auto report = dsv::testing::RunKillLoop(directory.path(), kills, seed);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  fmt::print("{} kills in {:.0f} s; found again: {} blocks, {} tails; lost or wrong: {}\n",
             report.kills, seconds.count(), report.blocks, report.tails,
             report.failure.empty() ? "none" : report.failure);
  return report.failure.empty() ? 0 : 1;
}
