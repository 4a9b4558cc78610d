// Any bytes as a line of `dsv4 render`: the line is rendered or refused, and what was rendered
// obeys the laws of segments. The same bytes as JSON text: writing what was read is a fixed point.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "chat/json_text.h"
#include "chat/message_json.h"
#include "chat/render.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void RenderOnce(const dsv::chat::JsonValue& value) {
  const auto request = dsv::chat::RenderRequestFromJson(value);
  if (!request) return;
  const auto segments = dsv::chat::Render(request->messages, request->options, request->context);
  if (!segments) return;
  const std::string text = dsv::chat::Join(*segments);
  for (size_t i = 0; i < segments->size(); ++i) {
    Require(!(*segments)[i].text.empty());
    Require(i == 0 || (*segments)[i].control || (*segments)[i - 1].control);
  }
  const auto suffix = dsv::chat::RenderedSuffix(*segments, text);
  Require(suffix && suffix->empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto value = dsv::chat::ReadJson(line, "line");
  if (!value) return 0;
  const std::string written = dsv::chat::ToJson(*value);
  const auto again = dsv::chat::ReadJson(written, "line");
  Require(again && dsv::chat::ToJson(*again) == written);
  RenderOnce(*value);
  return 0;
}
