#include "cli/reply_stats.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/progress.h"

namespace dsv::cli {
namespace {

const char* FinishName(dsv4::FinishReason finish) {
  switch (finish) {
    case dsv4::FinishReason::kStopToken:
      return "stop_token";
    case dsv4::FinishReason::kStopString:
      return "stop_string";
    case dsv4::FinishReason::kLength:
      return "length";
    case dsv4::FinishReason::kContext:
      return "context";
    case dsv4::FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

const char* FinishText(dsv4::FinishReason finish) {
  switch (finish) {
    case dsv4::FinishReason::kStopToken:
    case dsv4::FinishReason::kStopString:
      return "";
    case dsv4::FinishReason::kLength:
      return "; cut at the longest reply";
    case dsv4::FinishReason::kContext:
      return "; the context is full";
    case dsv4::FinishReason::kCancelled:
      return "; stopped";
  }
  return "";
}

Json ToolCallsAsJson(const std::vector<dsv4::ToolCall>& calls) {
  Json list = Json::array();
  for (const dsv4::ToolCall& call : calls) {
    list.push_back({{"name", call.name}, {"arguments", call.arguments}});
  }
  return list;
}

}  // namespace

double Rate(int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

int64_t DecodedTokens(const dsv4::Generation& generation) {
  return std::max<int64_t>(static_cast<int64_t>(generation.tokens.size()) - 1, 0);
}

std::string ReplyAsLine(const dsv4::Generation& generation) {
  return fmt::format("prompt {} tokens, {:.0f} tokens/s; reply {} tokens, {:.0f} tokens/s{}",
                     WithCommas(generation.prompt_tokens),
                     Rate(generation.prompt_tokens, generation.prompt_seconds),
                     WithCommas(static_cast<int64_t>(generation.tokens.size())),
                     Rate(DecodedTokens(generation), generation.decode_seconds),
                     FinishText(generation.finish));
}

Json ReplyAsJson(const dsv4::ChatReply& reply) {
  const dsv4::Generation& generation = reply.generation;
  Json json;
  json["text"] = reply.message.content;
  if (!reply.message.reasoning.empty()) json["reasoning"] = reply.message.reasoning;
  if (!reply.message.tool_calls.empty()) {
    json["tool_calls"] = ToolCallsAsJson(reply.message.tool_calls);
  }
  json["tokens"] = generation.tokens;
  json["finish"] = FinishName(generation.finish);
  json["prompt_tokens"] = generation.prompt_tokens;
  json["reply_tokens"] = generation.tokens.size();
  json["prompt_seconds"] = generation.prompt_seconds;
  json["decode_seconds"] = generation.decode_seconds;
  json["prompt_tokens_per_second"] = Rate(generation.prompt_tokens, generation.prompt_seconds);
  json["decode_tokens_per_second"] = Rate(DecodedTokens(generation), generation.decode_seconds);
  return json;
}

}  // namespace dsv::cli
