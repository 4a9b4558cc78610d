#include "store/record.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "base/check.h"

namespace dsv {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

constexpr uint64_t kFileMagic = 0x31455241'56345344;  // "DS4VARE1"
constexpr uint32_t kRecordMagic = 0x44434552;         // "RECD"

struct FileHeader {
  uint64_t magic = kFileMagic;
  uint32_t version = kStoreFormatVersion;
  StoreFileKind kind = StoreFileKind::kSegment;
  uint64_t file_id = 0;
  uint8_t reserved[32] = {};
  uint64_t checksum = 0;  // of the bytes before it
};
static_assert(sizeof(FileHeader) == kFileHeaderBytes);

struct RecordHeader {
  uint32_t magic = kRecordMagic;
  uint32_t part_count = 0;
  uint32_t token_count = 0;
  uint32_t depth = 0;
  ChainKey key;
  ChainKey parent;
  uint64_t payload_bytes = 0;
  uint64_t checksum = 0;  // of the whole header with this field zero
};
static_assert(sizeof(RecordHeader) == 64 && std::is_trivially_copyable_v<RecordHeader>);

constexpr uint64_t kMaxPayloadBytes = uint64_t{1} << 40;

uint64_t AlignUp(uint64_t value) {
  return (value + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

uint64_t HeaderBytesOf(uint64_t parts, uint64_t tokens) {
  return AlignUp(sizeof(RecordHeader) + parts * sizeof(RecordPart) + tokens * sizeof(int32_t));
}

// Of a header whose checksum field starts at `at` and counts as zero.
uint64_t HeaderChecksum(std::span<const std::byte> header, size_t at, uint64_t seed) {
  std::vector<std::byte> copy(header.begin(), header.end());
  std::memset(copy.data() + at, 0, sizeof(uint64_t));
  return XXH3_64bits_withSeed(copy.data(), copy.size(), seed);
}

}  // namespace

uint64_t Record::HeaderBytes() const { return HeaderBytesOf(parts.size(), tokens.size()); }

uint64_t Record::PayloadBytes() const {
  uint64_t sum = 0;
  for (const RecordPart& part : parts) sum += part.bytes;
  return sum;
}

uint64_t Record::Bytes() const { return HeaderBytes() + AlignUp(PayloadBytes()); }

uint64_t PartChecksum(const ChainKey& key, size_t index, std::span<const std::byte> part) {
  uint64_t seed = 0;
  std::memcpy(&seed, key.bytes.data(), sizeof seed);
  return XXH3_64bits_withSeed(part.data(), part.size(), seed + index);
}

std::vector<RecordPart> DescribeParts(const ChainKey& key,
                                      std::span<const std::span<const std::byte>> parts) {
  std::vector<RecordPart> result;
  result.reserve(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    result.push_back({parts[i].size(), PartChecksum(key, i, parts[i])});
  }
  return result;
}

std::vector<std::byte> EncodeFileHeader(StoreFileKind kind, uint64_t file_id) {
  FileHeader header;
  header.kind = kind;
  header.file_id = file_id;
  header.checksum = XXH3_64bits(&header, offsetof(FileHeader, checksum));
  const auto bytes = std::as_bytes(std::span(&header, 1));
  return {bytes.begin(), bytes.end()};
}

Result<uint64_t> ParseFileHeader(std::span<const std::byte> bytes, StoreFileKind kind,
                                 std::string_view source) {
  FileHeader header;
  if (bytes.size() < sizeof header) {
    return Fail("{}: {} bytes, expected at least {}", source, bytes.size(), sizeof header);
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kFileMagic) return Fail("{}: no file of a prefix store", source);
  if (header.version != kStoreFormatVersion) {
    return Fail("{}: format version {}, expected {}", source, header.version, kStoreFormatVersion);
  }
  if (header.checksum != XXH3_64bits(&header, offsetof(FileHeader, checksum))) {
    return Fail("{}: the checksum of its header is wrong", source);
  }
  if (header.kind != kind) {
    return Fail("{}: file kind {}, expected {}", source, static_cast<uint32_t>(header.kind),
                static_cast<uint32_t>(kind));
  }
  return header.file_id;
}

std::vector<std::byte> EncodeRecordHeader(const Record& record, uint64_t file_id) {
  RecordHeader header;
  header.part_count = static_cast<uint32_t>(record.parts.size());
  header.token_count = static_cast<uint32_t>(record.tokens.size());
  header.depth = static_cast<uint32_t>(record.depth);
  header.key = record.key;
  header.parent = record.parent;
  header.payload_bytes = record.PayloadBytes();
  std::vector<std::byte> bytes(record.HeaderBytes());
  DSV_CHECK(bytes.size() <= kMaxRecordHeaderBytes && header.payload_bytes <= kMaxPayloadBytes);
  std::byte* at = bytes.data() + sizeof header;
  const auto append = [&at](const auto& values) {
    const auto source = std::as_bytes(std::span(values));
    if (!source.empty()) std::memcpy(at, source.data(), source.size());
    at += source.size();
  };
  append(record.parts);
  append(record.tokens);
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = HeaderChecksum(bytes, offsetof(RecordHeader, checksum), file_id);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

bool LooksLikeRecord(std::span<const std::byte> bytes) {
  return bytes.size() >= sizeof(RecordHeader) &&
         std::memcmp(bytes.data(), &kRecordMagic, sizeof kRecordMagic) == 0;
}

Result<Record> ParseRecordHeader(std::span<const std::byte> bytes, uint64_t file_id) {
  RecordHeader header;
  if (bytes.size() < sizeof header) {
    return Fail("record header: {} bytes, expected at least {}", bytes.size(), sizeof header);
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kRecordMagic) return Fail("record header: none here");
  const uint64_t size = HeaderBytesOf(header.part_count, header.token_count);
  if (size > kMaxRecordHeaderBytes || size > bytes.size()) {
    return Fail("record header: {} bytes, expected at most {}", size,
                std::min<uint64_t>(bytes.size(), kMaxRecordHeaderBytes));
  }
  if (HeaderChecksum(bytes.first(size), offsetof(RecordHeader, checksum), file_id) !=
      header.checksum) {
    return Fail("record header: wrong checksum");
  }
  Record record{header.key, header.parent, header.depth, {}, {}};
  const std::byte* at = bytes.data() + sizeof header;
  record.parts = DecodeParts({at, header.part_count * sizeof(RecordPart)});
  at += header.part_count * sizeof(RecordPart);
  record.tokens.resize(header.token_count);
  if (header.token_count > 0) {
    std::memcpy(record.tokens.data(), at, header.token_count * sizeof(int32_t));
  }
  for (const RecordPart& part : record.parts) {
    if (part.bytes > kMaxPayloadBytes) return Fail("record header: a part of {} bytes", part.bytes);
  }
  if (record.PayloadBytes() != header.payload_bytes) {
    return Fail("record header: parts of {} bytes, expected {}", record.PayloadBytes(),
                header.payload_bytes);
  }
  return record;
}

std::vector<std::byte> EncodeParts(std::span<const RecordPart> parts) {
  const auto bytes = std::as_bytes(parts);
  return {bytes.begin(), bytes.end()};
}

std::vector<RecordPart> DecodeParts(std::span<const std::byte> bytes) {
  std::vector<RecordPart> parts;
  if (bytes.size() % sizeof(RecordPart) != 0) return parts;
  parts.resize(bytes.size() / sizeof(RecordPart));
  if (!bytes.empty()) std::memcpy(parts.data(), bytes.data(), bytes.size());
  return parts;
}

}  // namespace dsv
