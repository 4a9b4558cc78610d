#include "tensor/dtype.h"

#include <array>
#include <cstddef>

namespace dsv {
namespace {

struct Entry {
  std::string_view name;
  int64_t size;
};
constexpr std::array<Entry, kDTypeCount> kEntries{
    {{"F32", 4}, {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E8M0", 1}, {"I8", 1}, {"I64", 8}}};

}  // namespace

std::string_view DTypeName(DType dtype) { return kEntries[static_cast<size_t>(dtype)].name; }

int64_t DTypeSize(DType dtype) { return kEntries[static_cast<size_t>(dtype)].size; }

std::optional<DType> DTypeFromName(std::string_view name) {
  for (size_t i = 0; i < kEntries.size(); ++i) {
    if (kEntries[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

}  // namespace dsv
