// The format of segments and tails on disk, little-endian:
//
//   file     FileHeader, 64 bytes, then records that begin at multiples of 64
//   record   RecordHeader, part table, tokens, zeros up to a multiple of 64; then the parts, one
//            after the other
//
// Everything is checksummed (XXH3-64). A record's header is bound to its file by the file's random
// id, and a part to the record's key and its place in it, so that nothing passes for another thing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/chain_key.h"

namespace dsv {

inline constexpr uint32_t kStoreFormatVersion = 1;
inline constexpr uint64_t kRecordAlignment = 64;
inline constexpr uint64_t kFileHeaderBytes = 64;

enum class StoreFileKind : uint32_t { kSegment = 1, kTail = 2 };

struct RecordPart {
  uint64_t bytes = 0;
  uint64_t checksum = 0;

  bool operator==(const RecordPart&) const = default;
};

struct Record {
  ChainKey key;
  ChainKey parent;
  int64_t depth = 0;            // whole blocks up to and including this one
  std::vector<int32_t> tokens;  // of the block, or the rest of a tail
  std::vector<RecordPart> parts;

  uint64_t HeaderBytes() const;
  uint64_t PayloadBytes() const;
  // To the next record.
  uint64_t Bytes() const;
};

uint64_t PartChecksum(const ChainKey& key, size_t index, std::span<const std::byte> part);
std::vector<RecordPart> DescribeParts(const ChainKey& key,
                                      std::span<const std::span<const std::byte>> parts);

std::vector<std::byte> EncodeFileHeader(StoreFileKind kind, uint64_t file_id);
// The id of the file. `source` names it in errors.
Result<uint64_t> ParseFileHeader(std::span<const std::byte> bytes, StoreFileKind kind,
                                 std::string_view source);

std::vector<std::byte> EncodeRecordHeader(const Record& record, uint64_t file_id);
// Whether there can be a record at the beginning of `bytes`: a quick look, for a search.
bool LooksLikeRecord(std::span<const std::byte> bytes);
// `bytes` begins with the record and may end with the file; the payload need not be there.
Result<Record> ParseRecordHeader(std::span<const std::byte> bytes, uint64_t file_id);

// More than this is never read to parse the header of a record.
inline constexpr uint64_t kMaxRecordHeaderBytes = uint64_t{1} << 16;

// The part table as it stands in the index.
std::vector<std::byte> EncodeParts(std::span<const RecordPart> parts);
// Nothing if the bytes are no table.
std::vector<RecordPart> DecodeParts(std::span<const std::byte> bytes);

}  // namespace dsv
