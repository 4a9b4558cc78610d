#include "cli/bench/foreign_load.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

namespace dsv::cli {
namespace {

constexpr double kQuietPerCent = 5;
constexpr std::chrono::milliseconds kLook{300};

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

}  // namespace

ForeignLoad::Times ForeignLoad::Now() {
  Times times;
  std::ifstream file("/proc/stat");
  std::string name;
  double ticks[8] = {};  // user nice system idle iowait irq softirq steal
  file >> name;
  for (double& one : ticks) file >> one;
  const double busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7];
  times.busy = busy / static_cast<double>(sysconf(_SC_CLK_TCK));
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  times.own = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  return times;
}

double ForeignLoad::PerCent() const {
  const Times now = Now();
  const double foreign = (now.busy - start_.busy) - (now.own - start_.own);
  const auto processors = static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN));
  const double all = watch_.Seconds() * processors;
  return all > 0 ? std::clamp(100 * foreign / all, 0.0, 100.0) : 0;
}

void WaitForQuiet(double seconds) {
  const Stopwatch watch;
  while (watch.Seconds() < seconds) {
    const ForeignLoad load;
    std::this_thread::sleep_for(kLook);
    if (load.PerCent() < kQuietPerCent) return;
  }
}

}  // namespace dsv::cli
