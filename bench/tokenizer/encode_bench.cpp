// Prints the throughput of encoding a text file as one line of JSON.
// Usage: tokenizer_encode_bench TOKENIZER TEXT [RUNS]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "tokenizer/tokenizer.h"

namespace {

constexpr double kMegabyte = 1e6;

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Timing {
  double median;
  double lowest;
  double highest;
};

Timing Measure(int runs, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) seconds.push_back(Seconds(work));
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

dsv::Status Run(const char* tokenizer_path, const char* text_path, int runs) {
  const Timing load =
      Measure(runs, [&] { static_cast<void>(dsv::Tokenizer::Load(tokenizer_path)); });
  DSV_ASSIGN(const dsv::Tokenizer tokenizer, dsv::Tokenizer::Load(tokenizer_path));
  DSV_ASSIGN(const std::string text, dsv::ReadFile(text_path));
  DSV_ASSIGN(const std::vector<int32_t> ids, tokenizer.Encode(text));
  const double megabytes = static_cast<double>(text.size()) / kMegabyte;
  const Timing encode = Measure(runs, [&] { static_cast<void>(tokenizer.Encode(text)); });
  const Timing decode = Measure(runs, [&] { static_cast<void>(tokenizer.Decode(ids)); });
  fmt::print(
      "{{\"bytes\": {}, \"tokens\": {}, \"runs\": {}, \"load_ms\": {:.1f}, \"encode_mb_s\": "
      "{:.2f}, "
      "\"encode_mb_s_low\": {:.2f}, \"encode_mb_s_high\": {:.2f}, \"decode_mb_s\": {:.1f}}}\n",
      text.size(), ids.size(), runs, load.median * 1e3, megabytes / encode.median,
      megabytes / encode.highest, megabytes / encode.lowest, megabytes / decode.median);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: %s TOKENIZER TEXT [RUNS]\n", argv[0]);
    return 1;
  }
  const dsv::Status status = Run(argv[1], argv[2], argc == 4 ? std::max(1, std::atoi(argv[3])) : 5);
  if (status) return 0;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return 1;
}
