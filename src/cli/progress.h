// A line on stderr that shows how far a long task is: part done, rate and time left.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace dsv::cli {

// Silent unless stderr is a terminal, during the first second, and after destruction, which clears
// the line. Not thread-safe.
class Progress {
 public:
  enum class Unit : uint8_t { kCount, kBytes };

  // `label` says what is being done ("prompt"), `noun` what is counted ("tokens"; unused for
  // bytes). total 0: unknown, only the rate is shown.
  Progress(std::string label, std::string noun, int64_t total, Unit unit = Unit::kCount);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  // Cheap enough to call for every token or megabyte: redraws at most ten times a second.
  void Update(int64_t done) { Update(done, total_); }
  void Update(int64_t done, int64_t total);

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  std::string noun_;
  int64_t total_;
  Unit unit_;
  bool is_terminal_;
  bool is_drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_draw_;
};

// The text of the line: "prompt  1,200/40,000 tokens  3%  812 tokens/s  0:47 left".
std::string ProgressLine(const std::string& label, const std::string& noun, Progress::Unit unit,
                         int64_t done, int64_t total, double seconds);

// 1234567 -> "1,234,567"; 159609485896 -> "159.61 GB".
std::string WithCommas(int64_t value);
std::string ShortBytes(double bytes);

}  // namespace dsv::cli
