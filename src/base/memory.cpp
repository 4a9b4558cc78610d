#include "base/memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <utility>

namespace dsv {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// The number after `key` in a file of lines "key number [kB]", in bytes.
std::optional<int64_t> FieldOf(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const int64_t unit = line.find("kB") == std::string::npos ? 1 : 1024;
    return std::strtoll(line.c_str() + key.size(), nullptr, 10) * unit;
  }
  return std::nullopt;
}

// A file with one number; "max" and missing files are no number.
std::optional<int64_t> NumberIn(const std::string& path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (!(file >> number) || number < 0) return std::nullopt;
  return number;
}

void Tighten(MemoryLimit& limit, std::optional<int64_t> available, const std::string& source) {
  if (!available || *available >= limit.available) return;
  limit = {std::max<int64_t>(*available, 0), source};
}

// From the process's group up to the root. Page cache counts as used there but can be taken back.
void TightenByGroup(MemoryLimit& limit, const std::string& root, std::string group,
                    const char* max_file, const char* used_file, const char* cache_key) {
  while (true) {
    const std::string folder = root + group;
    const auto max = NumberIn(folder + "/" + max_file);
    const auto used = NumberIn(folder + "/" + used_file);
    if (max && used) {
      const int64_t cache = FieldOf(folder + "/memory.stat", cache_key).value_or(0);
      Tighten(limit, *max - std::max<int64_t>(*used - cache, 0), std::string("cgroup ") + max_file);
    }
    if (group.empty()) return;
    group.erase(group.rfind('/'));
  }
}

void TightenByGroups(MemoryLimit& limit) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t controllers = line.find(':') + 1;
    const size_t path = line.find(':', controllers) + 1;
    if (controllers == 0 || path == 0) continue;
    std::string group = line.substr(path);
    if (group == "/") group.clear();
    const std::string names = line.substr(controllers, path - controllers - 1);
    if (names.empty()) {
      TightenByGroup(limit, "/sys/fs/cgroup", group, "memory.max", "memory.current",
                     "inactive_file ");
    } else if (names == "memory") {
      TightenByGroup(limit, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                     "memory.usage_in_bytes", "total_inactive_file ");
    }
  }
}

void TightenByResource(MemoryLimit& limit, decltype(RLIMIT_AS) resource, const char* used_key,
                       const char* source) {
  rlimit value{};
  if (getrlimit(resource, &value) != 0 || value.rlim_cur == RLIM_INFINITY) return;
  const int64_t used = FieldOf("/proc/self/status", used_key).value_or(0);
  Tighten(limit, static_cast<int64_t>(std::min<rlim_t>(value.rlim_cur, kUnlimited)) - used, source);
}

}  // namespace

MemoryLimit AvailableMemory() {
  MemoryLimit limit{kUnlimited, "no limit"};
  Tighten(limit, FieldOf("/proc/meminfo", "MemAvailable:"), "available memory");
  TightenByGroups(limit);
  TightenByResource(limit, RLIMIT_AS, "VmSize:", "RLIMIT_AS");
  TightenByResource(limit, RLIMIT_DATA, "VmData:", "RLIMIT_DATA");
  return limit;
}

}  // namespace dsv
