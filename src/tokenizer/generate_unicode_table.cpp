// Build-time program: turns data/unicode_classes.tsv (class, first, last; hex, inclusive) into the
// two-stage table that unicode_classes.h reads. Usage: generate_unicode_table IN.tsv OUT.inc
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tokenizer/unicode_bits.h"

namespace {

constexpr uint32_t kCodePoints = 0x110000;
constexpr uint32_t kBlock = dsv::unicode::kBlockSize;

uint8_t BitOf(const std::string& name) {
  static const std::map<std::string, uint8_t> bits = {
      {"L", dsv::unicode::kLetter}, {"M", dsv::unicode::kMark},
      {"N", dsv::unicode::kNumber}, {"P", dsv::unicode::kPunctuation},
      {"S", dsv::unicode::kSymbol}, {"space", dsv::unicode::kSpace},
  };
  const auto found = bits.find(name);
  return found == bits.end() ? uint8_t{0} : found->second;
}

// One byte of class bits per code point; empty if the file is not as expected.
std::vector<uint8_t> ReadClasses(const char* path) {
  std::vector<uint8_t> classes(kCodePoints, 0);
  std::ifstream in(path);
  std::string line;
  size_t ranges = 0;
  while (std::getline(in, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream fields(line);
    std::string name;
    uint32_t first = 0;
    uint32_t last = 0;
    fields >> name >> std::hex >> first >> last;
    const uint8_t bit = BitOf(name);
    if (!fields || bit == 0 || first > last || last >= kCodePoints) {
      std::fprintf(stderr, "%s: cannot read the line \"%s\"\n", path, line.c_str());
      return {};
    }
    for (uint32_t c = first; c <= last; ++c) classes[c] |= bit;
    ++ranges;
  }
  if (ranges == 0) {
    std::fprintf(stderr, "%s: no ranges found\n", path);
    return {};
  }
  for (const auto& [first, last] : dsv::unicode::kIdeographRanges) {
    for (uint32_t c = first; c <= last; ++c) classes[c] |= dsv::unicode::kIdeograph;
  }
  return classes;
}

void WriteArray(std::FILE* out, const char* declaration, const std::vector<uint8_t>& values) {
  std::fprintf(out, "inline constexpr uint8_t %s[%zu] = {", declaration, values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    std::fprintf(out, "%s%u,", i % 32 == 0 ? "\n" : "", static_cast<unsigned>(values[i]));
  }
  std::fprintf(out, "\n};\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s IN.tsv OUT.inc\n", argv[0]);
    return 1;
  }
  const std::vector<uint8_t> classes = ReadClasses(argv[1]);
  if (classes.empty()) return 1;

  using Block = std::array<uint8_t, kBlock>;
  std::map<Block, uint8_t> known;
  std::vector<uint8_t> blocks;
  std::vector<uint8_t> index;
  for (uint32_t start = 0; start < kCodePoints; start += kBlock) {
    Block block;
    std::copy_n(classes.begin() + start, kBlock, block.begin());
    const auto [entry, is_new] = known.try_emplace(block, static_cast<uint8_t>(known.size()));
    if (is_new) blocks.insert(blocks.end(), block.begin(), block.end());
    index.push_back(entry->second);
  }
  if (known.size() > 256) {
    std::fprintf(stderr, "%s: %zu distinct blocks do not fit a byte\n", argv[1], known.size());
    return 1;
  }

  std::FILE* out = std::fopen(argv[2], "w");
  if (out == nullptr) {
    std::perror(argv[2]);
    return 1;
  }
  WriteArray(out, "kBlockIndex", index);
  WriteArray(out, "kBlockClasses", blocks);
  const bool failed = std::ferror(out) != 0;
  if (std::fclose(out) != 0 || failed) {
    std::fprintf(stderr, "%s: write failed\n", argv[2]);
    return 1;
  }
  return 0;
}
