#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "io/safetensors.h"

namespace dsv {
namespace {

int64_t Bytes(const SafetensorsWriter::Entry& entry) {
  return TensorView{entry.dtype, entry.shape, nullptr}.Bytes();
}

}  // namespace

std::string SafetensorsPrefix(const std::vector<SafetensorsWriter::Entry>& entries) {
  std::string text = "{";
  int64_t offset = 0;
  for (const SafetensorsWriter::Entry& entry : entries) {
    if (text.size() > 1) text += ',';
    const int64_t end = offset + Bytes(entry);
    const std::string name =
        nlohmann::json(entry.name).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    fmt::format_to(std::back_inserter(text),
                   R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", name,
                   DTypeName(entry.dtype), fmt::join(entry.shape, ","), offset, end);
    offset = end;
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string prefix(8, '\0');
  for (size_t i = 0; i < 8; ++i) prefix[i] = static_cast<char>(text.size() >> (8 * i) & 0xFF);
  return prefix + text;
}

SafetensorsWriter::SafetensorsWriter(AtomicFile file, std::string source, std::vector<Range> ranges)
    : file_(std::move(file)), source_(std::move(source)), ranges_(std::move(ranges)) {}

Result<SafetensorsWriter> SafetensorsWriter::Create(const std::filesystem::path& path,
                                                    const std::vector<Entry>& entries) {
  const std::string prefix = SafetensorsPrefix(entries);
  std::vector<Range> ranges;
  auto offset = static_cast<int64_t>(prefix.size());
  for (const Entry& entry : entries) {
    ranges.push_back({entry.name, offset, offset + Bytes(entry)});
    offset = ranges.back().end;
  }
  DSV_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  DSV_TRY(file.Write(prefix));
  DSV_TRY(file.Reserve(offset));
  return SafetensorsWriter(std::move(file), path.string(), std::move(ranges));
}

Status SafetensorsWriter::Append(size_t entry, std::span<const std::byte> bytes) {
  DSV_CHECK(entry < ranges_.size());
  Range& range = ranges_[entry];
  DSV_CHECK(static_cast<int64_t>(bytes.size()) <= range.end - range.next);
  DSV_TRY(file_.WriteAt(range.next, bytes));
  range.next += static_cast<int64_t>(bytes.size());
  return {};
}

Status SafetensorsWriter::Commit() {
  for (const Range& range : ranges_) {
    if (range.next != range.end) {
      return Fail("{}: tensor {} is incomplete: {} bytes are missing", source_, range.name,
                  range.end - range.next);
    }
  }
  return file_.Commit();
}

Status WriteSafetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors) {
  std::vector<SafetensorsWriter::Entry> entries;
  entries.reserve(tensors.size());
  for (const NamedTensor& tensor : tensors) {
    entries.push_back({tensor.name, tensor.view.dtype, tensor.view.shape});
  }
  DSV_ASSIGN(SafetensorsWriter writer, SafetensorsWriter::Create(path, entries));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorView& view = tensors[i].view;
    DSV_TRY(writer.Append(i, {view.data, static_cast<size_t>(view.Bytes())}));
  }
  return writer.Commit();
}

}  // namespace dsv
