// Kills a writing process again and again, and checks after each kill that what it had acknowledged
// is there, whole, and that nothing else is wrong.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace dsv::testing {

struct KillReport {
  int64_t kills = 0;
  int64_t blocks = 0;  // acknowledged and found again, as the tails
  int64_t tails = 0;
  std::string failure;  // empty if all is well
};

// Uses up to some megabytes below `directory`.
KillReport RunKillLoop(const std::filesystem::path& directory, int64_t kills, uint64_t seed);

}  // namespace dsv::testing
