// Headers of safetensors files, and the index of a checkpoint. Whatever is accepted must be
// readable: AddressSanitizer sees a view that leaves the file.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint_index.h"
#include "io/safetensors.h"

namespace {

void ParseAndRead(std::span<const std::byte> file) {
  // A copy on the heap, so that the byte after the file is out of bounds.
  const std::vector<std::byte> copy(file.begin(), file.end());
  const auto header = dsv::ParseSafetensors(copy, "input");
  if (!header) {
    if (header.error().message.find('\n') != std::string::npos) std::abort();
    return;
  }
  volatile unsigned sum = 0;
  for (const dsv::NamedTensor& tensor : header->tensors) {
    const auto bytes = static_cast<size_t>(tensor.view.Bytes());
    for (const std::byte byte : std::span(tensor.view.data, bytes)) {
      sum = sum + std::to_integer<unsigned>(byte);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  ParseAndRead(bytes);
  // The same input as a header up to the first zero byte and data, with the right length before.
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t header_size = std::min(text.find('\0'), size);
  std::string file;
  for (size_t i = 0; i < 8; ++i) file += static_cast<char>(header_size >> (8 * i) & 0xFF);
  file += text;
  ParseAndRead(std::as_bytes(std::span(file)));
  (void)dsv::ParseCheckpointIndex(text, "input");
  return 0;
}
