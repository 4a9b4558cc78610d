#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>
#include <utility>

namespace dsv::cli {
namespace {

constexpr std::chrono::milliseconds kDelay(1000);
constexpr std::chrono::milliseconds kInterval(100);

std::string Duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

std::string WithCommas(int64_t value) {
  std::string digits = fmt::format("{}", value);
  const int64_t first = digits[0] == '-' ? 1 : 0;
  for (auto i = static_cast<int64_t>(digits.size()) - 3; i > first; i -= 3) {
    digits.insert(static_cast<size_t>(i), 1, ',');
  }
  return digits;
}

std::string ShortBytes(double bytes) {
  constexpr std::array<std::string_view, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 999.995 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.2f} {}", bytes, kUnits[unit]);
}

std::string ProgressLine(const std::string& label, const std::string& noun, Progress::Unit unit,
                         int64_t done, int64_t total, double seconds) {
  const bool is_bytes = unit == Progress::Unit::kBytes;
  const auto amount = [&](int64_t value) {
    return is_bytes ? ShortBytes(static_cast<double>(value)) : WithCommas(value);
  };
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string line = fmt::format("{}  {}", label, amount(done));
  if (total > 0) line += fmt::format("/{}", amount(total));
  if (!is_bytes) line += fmt::format(" {}", noun);
  if (total > 0) line += fmt::format("  {}%", done * 100 / total);
  line += is_bytes ? fmt::format("  {}/s", ShortBytes(rate))
                   : fmt::format("  {:.{}f} {}/s", rate, rate < 10 ? 1 : 0, noun);
  if (total > 0 && rate > 0) {
    line += fmt::format("  {} left", Duration(static_cast<double>(total - done) / rate));
  }
  return line;
}

Progress::Progress(std::string label, std::string noun, int64_t total, Unit unit)
    : label_(std::move(label)),
      noun_(std::move(noun)),
      total_(total),
      unit_(unit),
      is_terminal_(isatty(STDERR_FILENO) == 1),
      next_draw_(start_ + kDelay) {}

Progress::~Progress() {
  if (is_drawn_) std::fputs("\r\x1b[K", stderr);
}

void Progress::Update(int64_t done, int64_t total) {
  if (!is_terminal_) return;
  const Clock::time_point now = Clock::now();
  if (now < next_draw_) return;
  next_draw_ = now + kInterval;
  is_drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const std::string line = ProgressLine(label_, noun_, unit_, done, total, seconds);
  std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
  std::fflush(stderr);
}

}  // namespace dsv::cli
