#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace dsv {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own library
constexpr size_t kMaxRank = 8;

// Bytes per element of the tags of the format that no V4 checkpoint uses.
struct ForeignDType {
  std::string_view name;
  int64_t size;
};
constexpr std::array<ForeignDType, 11> kForeignDTypes{{{"BOOL", 1},
                                                       {"U8", 1},
                                                       {"F8_E5M2", 1},
                                                       {"I16", 2},
                                                       {"U16", 2},
                                                       {"F16", 2},
                                                       {"I32", 4},
                                                       {"U32", 4},
                                                       {"F64", 8},
                                                       {"U64", 8},
                                                       {"C64", 8}}};

std::optional<int64_t> ElementSize(std::string_view tag) {
  if (const auto dtype = DTypeFromName(tag)) return DTypeSize(*dtype);
  for (const ForeignDType& foreign : kForeignDTypes) {
    if (foreign.name == tag) return foreign.size;
  }
  return std::nullopt;
}

struct RawEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  int64_t begin = 0;  // of the data section
  int64_t end = 0;
};

// Reads the header without building a document; every level of the JSON is a state.
class HeaderReader {
 public:
  std::vector<RawEntry> entries;
  std::string error;

  // nlohmann's SAX interface; false stops the parser.
  bool start_object(size_t /*size*/) {
    if (state_ == State::kStart) return Enter(State::kTensors);
    if (state_ == State::kMetadataStart) return Enter(State::kMetadata);
    if (state_ == State::kEntryStart) return Enter(State::kEntry);
    return Unexpected("an object");
  }
  bool end_object() {
    if (state_ == State::kTensors) return Enter(State::kEnd);
    if (state_ == State::kMetadata) return Enter(State::kTensors);
    if (state_ != State::kEntry) return Unexpected("the end of an object");
    if (!seen_dtype_ || !seen_shape_ || !seen_offsets_) {
      return EntryError("expected dtype, shape and data_offsets");
    }
    return Enter(State::kTensors);
  }
  bool start_array(size_t /*size*/) {
    if (state_ == State::kShapeStart) return Enter(State::kShape);
    if (state_ == State::kOffsetsStart) return Enter(State::kOffsets);
    return Unexpected("an array");
  }
  bool end_array() {
    if (state_ == State::kOffsets && offsets_ != 2) {
      return Unexpected(fmt::format("{} of them", offsets_));
    }
    return Enter(State::kEntry);
  }
  bool key(std::string& name) {
    if (state_ == State::kMetadata) return true;
    if (state_ == State::kEntry) return EntryKey(name);
    if (name == "__metadata__") return Enter(State::kMetadataStart);
    entries.emplace_back().name = name;  // a copy: the parser reuses its buffer
    seen_dtype_ = seen_shape_ = seen_offsets_ = false;
    return Enter(State::kEntryStart);
  }
  bool string(std::string& value) {
    if (state_ == State::kMetadata) return true;
    if (state_ != State::kDType) return Unexpected("a string");
    entries.back().dtype = value;
    return Enter(State::kEntry);
  }
  bool number_unsigned(uint64_t value) {
    if (value > static_cast<uint64_t>(INT64_MAX)) return Unexpected("a number beyond 63 bits");
    const auto number = static_cast<int64_t>(value);
    if (state_ == State::kShape) {
      if (entries.back().shape.size() == kMaxRank)
        return EntryError("expected at most 8 dimensions, found more");
      entries.back().shape.push_back(number);
      return true;
    }
    if (state_ != State::kOffsets) return Unexpected("a number");
    if (offsets_ == 2) return Unexpected("more of them");
    (offsets_++ == 0 ? entries.back().begin : entries.back().end) = number;
    return true;
  }
  bool number_integer(int64_t /*value*/) { return Unexpected("a negative number"); }
  bool number_float(double /*value*/, const std::string& /*text*/) {
    return Unexpected("a fraction or a number beyond 64 bits");
  }
  bool null() { return Unexpected("null"); }
  bool boolean(bool /*value*/) { return Unexpected("a boolean"); }
  bool binary(std::vector<uint8_t>& /*value*/) { return Unexpected("binary data"); }
  template <class Exception>
  bool parse_error(size_t position, const std::string& /*token*/, const Exception& /*error*/) {
    error = fmt::format("header is invalid JSON at byte {}", position);
    return false;
  }

 private:
  enum class State : uint8_t {
    kStart,
    kTensors,
    kMetadataStart,
    kMetadata,
    kEntryStart,
    kEntry,
    kDType,
    kShapeStart,
    kShape,
    kOffsetsStart,
    kOffsets,
    kEnd,
  };

  bool Enter(State state) {
    state_ = state;
    return true;
  }
  bool EntryKey(const std::string& name) {
    if (name == "dtype" && !std::exchange(seen_dtype_, true)) return Enter(State::kDType);
    if (name == "shape" && !std::exchange(seen_shape_, true)) return Enter(State::kShapeStart);
    if (name == "data_offsets" && !std::exchange(seen_offsets_, true)) {
      offsets_ = 0;
      return Enter(State::kOffsetsStart);
    }
    return EntryError(fmt::format("unexpected or repeated key \"{}\"", name));
  }
  bool EntryError(std::string_view what) {
    error = fmt::format("tensor {}: {}", entries.back().name, what);
    return false;
  }
  bool Unexpected(std::string_view found) {
    const std::string what = fmt::format("expected {}, found {}", Expected(), found);
    if (entries.empty() || state_ == State::kMetadata || state_ == State::kMetadataStart) {
      error = "header: " + what;
      return false;
    }
    return EntryError(what);
  }
  std::string_view Expected() const {
    switch (state_) {
      case State::kStart:
        return "an object";
      case State::kMetadataStart:
        return "__metadata__ to be an object";
      case State::kMetadata:
        return "strings in __metadata__";
      case State::kEntryStart:
        return "an object with dtype, shape and data_offsets";
      case State::kDType:
        return "dtype to be a string";
      case State::kShapeStart:
      case State::kShape:
        return "shape to be an array of integers from 0 to 2^63 - 1";
      case State::kOffsetsStart:
      case State::kOffsets:
        return "data_offsets to be an array of 2 integers from 0 to 2^63 - 1";
      case State::kTensors:
      case State::kEntry:
      case State::kEnd:
        return "a key or the end";
    }
    return "";
  }

  State state_ = State::kStart;
  bool seen_dtype_ = false;
  bool seen_shape_ = false;
  bool seen_offsets_ = false;
  int offsets_ = 0;
};

// nullopt when the product does not fit 63 bits.
std::optional<int64_t> ByteSize(const std::vector<int64_t>& shape, int64_t element_size) {
  int64_t bytes = element_size;
  for (const int64_t dim : shape) {
    if (__builtin_mul_overflow(bytes, dim, &bytes)) return std::nullopt;
  }
  return bytes;
}

Status CheckSize(const RawEntry& entry, const std::string& source) {
  const auto element_size = ElementSize(entry.dtype);
  if (!element_size) return {};  // the range is checked, the elements are never read
  const auto bytes = ByteSize(entry.shape, *element_size);
  if (!bytes) {
    return Fail("{}: tensor {}: shape [{}] overflows", source, entry.name,
                fmt::join(entry.shape, ","));
  }
  if (*bytes != entry.end - entry.begin) {
    return Fail("{}: tensor {}: {} [{}] needs {} bytes, data_offsets give {}", source, entry.name,
                entry.dtype, fmt::join(entry.shape, ","), *bytes, entry.end - entry.begin);
  }
  return {};
}

// Sorts by offset and checks that the tensors tile the data section, as the format demands.
Status CheckRanges(std::vector<RawEntry>& entries, int64_t data_size, const std::string& source) {
  const auto before = [](const RawEntry& a, const RawEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  };
  if (!std::is_sorted(entries.begin(), entries.end(), before)) {
    std::sort(entries.begin(), entries.end(), before);
  }
  int64_t covered = 0;
  for (const RawEntry& entry : entries) {
    if (entry.begin > entry.end) {
      return Fail("{}: tensor {}: data_offsets [{}, {}) run backwards", source, entry.name,
                  entry.begin, entry.end);
    }
    if (entry.end > data_size) {
      return Fail("{}: tensor {}: data_offsets [{}, {}) exceed the {} bytes of data (truncated?)",
                  source, entry.name, entry.begin, entry.end, data_size);
    }
    if (entry.begin != covered) {
      return Fail(
          "{}: tensor {}: data_offsets [{}, {}) {} byte {}", source, entry.name, entry.begin,
          entry.end,
          entry.begin < covered ? "overlap a tensor that ends at" : "leave a hole that starts at",
          covered);
    }
    DSV_TRY(CheckSize(entry, source));
    covered = entry.end;
  }
  if (covered != data_size) {
    return Fail("{}: {} bytes follow the last tensor", source, data_size - covered);
  }
  return {};
}

// The entries by name, which must differ.
Result<std::vector<RawEntry*>> SortNames(std::vector<RawEntry>& entries,
                                         const std::string& source) {
  std::vector<RawEntry*> order;
  order.reserve(entries.size());
  for (RawEntry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(),
            [](const RawEntry* a, const RawEntry* b) { return a->name < b->name; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->name == order[i - 1]->name) {
      return Fail("{}: tensor {} occurs twice in the header", source, order[i]->name);
    }
  }
  return order;
}

Result<uint64_t> HeaderSize(std::span<const std::byte> file, const std::string& source) {
  if (file.size() < 8) {
    return Fail("{}: not a safetensors file: {} bytes, expected at least 8", source, file.size());
  }
  uint64_t size = 0;
  for (size_t i = 8; i-- > 0;) size = size << 8 | std::to_integer<uint64_t>(file[i]);
  if (size > kMaxHeaderBytes) {
    return Fail("{}: not a safetensors file: header length {} exceeds {}", source, size,
                kMaxHeaderBytes);
  }
  if (size > file.size() - 8) {
    return Fail("{}: header length {} exceeds the {} bytes of the file (truncated?)", source, size,
                file.size());
  }
  return size;
}

// Null if absent.
template <class Tensor>
const Tensor* FindByName(const std::vector<Tensor>& tensors, std::string_view name) {
  const auto it =
      std::lower_bound(tensors.begin(), tensors.end(), name,
                       [](const Tensor& tensor, std::string_view n) { return tensor.name < n; });
  return it != tensors.end() && it->name == name ? &*it : nullptr;
}

}  // namespace

Result<SafetensorsHeader> ParseSafetensors(std::span<const std::byte> file,
                                           const std::string& source) {
  DSV_ASSIGN(const uint64_t size, HeaderSize(file, source));
  const auto* text = reinterpret_cast<const char*>(file.data()) + 8;
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(text, text + size, &reader)) {
    return Fail("{}: {}", source, reader.error);
  }
  const std::span<const std::byte> data = file.subspan(8 + size);
  DSV_TRY(CheckRanges(reader.entries, static_cast<int64_t>(data.size()), source));
  DSV_ASSIGN(const std::vector<RawEntry*> entries, SortNames(reader.entries, source));
  SafetensorsHeader header;
  header.tensors.reserve(entries.size());
  for (RawEntry* entry : entries) {
    if (const auto dtype = DTypeFromName(entry->dtype)) {
      header.tensors.push_back(
          {std::move(entry->name), {*dtype, std::move(entry->shape), data.data() + entry->begin}});
    } else {
      header.unsupported.push_back({std::move(entry->name), std::move(entry->dtype),
                                    std::move(entry->shape), entry->end - entry->begin});
    }
  }
  return header;
}

SafetensorsFile::SafetensorsFile(std::filesystem::path path, std::optional<MappedFile> file,
                                 SafetensorsHeader header)
    : path_(std::move(path)), file_(std::move(file)), header_(std::move(header)) {}

Result<SafetensorsFile> SafetensorsFile::Open(const std::filesystem::path& path) {
  DSV_ASSIGN(MappedFile file, MappedFile::Open(path));
  DSV_ASSIGN(SafetensorsHeader header, ParseSafetensors(file.bytes(), path.string()));
  return SafetensorsFile(path, std::move(file), std::move(header));
}

Result<SafetensorsFile> SafetensorsFile::FromMemory(std::string name,
                                                    std::span<const std::byte> file) {
  DSV_ASSIGN(SafetensorsHeader header, ParseSafetensors(file, name));
  return SafetensorsFile(std::move(name), std::nullopt, std::move(header));
}

const TensorView* SafetensorsFile::Find(std::string_view name) const {
  const NamedTensor* tensor = FindByName(header_.tensors, name);
  return tensor == nullptr ? nullptr : &tensor->view;
}

const UnsupportedTensor* SafetensorsFile::FindUnsupported(std::string_view name) const {
  return FindByName(header_.unsupported, name);
}

}  // namespace dsv
