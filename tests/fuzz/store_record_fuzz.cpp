// Files of the prefix store. Whatever is accepted must lie within the input, and a record made of
// the input reads back as it was written.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "store/record.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void ParseAnything(std::span<const std::byte> input) {
  // A copy on the heap, so that the byte after the input is out of bounds.
  const std::vector<std::byte> bytes(input.begin(), input.end());
  (void)dsv::ParseFileHeader(bytes, dsv::StoreFileKind::kSegment, "input");
  (void)dsv::LooksLikeRecord(bytes);
  const auto record = dsv::ParseRecordHeader(bytes, 7);
  if (record) Require(record->HeaderBytes() <= bytes.size());
}

dsv::Record MakeRecord(std::span<const std::byte> input) {
  dsv::Record record;
  const size_t count = std::min(input.size(), sizeof record.key.bytes);
  std::copy_n(reinterpret_cast<const uint8_t*>(input.data()), count, record.key.bytes.begin());
  record.depth = static_cast<int64_t>(input.size());
  record.tokens.resize(std::min<size_t>(input.size() / sizeof(int32_t), dsv::kBlockTokens));
  if (!record.tokens.empty()) {
    std::memcpy(record.tokens.data(), input.data(), record.tokens.size() * sizeof(int32_t));
  }
  const std::span<const std::byte> parts[] = {input, input.first(count)};
  record.parts = dsv::DescribeParts(record.key, parts);
  return record;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  ParseAnything(input);

  const dsv::Record record = MakeRecord(input);
  std::vector<std::byte> header = dsv::EncodeRecordHeader(record, 7);
  const auto again = dsv::ParseRecordHeader(header, 7);
  Require(again && again->key == record.key && again->tokens == record.tokens &&
          again->parts == record.parts && again->depth == record.depth);
  // The input over the header: only the unchanged one passes.
  const std::vector<std::byte> good = header;
  for (size_t i = 0; i < std::min(size, header.size()); ++i) header[i] ^= input[i];
  const auto changed = dsv::ParseRecordHeader(header, 7);
  Require(!changed || header == good);
  return 0;
}
