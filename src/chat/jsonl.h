// One JSON object in, one out: the line formats of `dsv4 render` and `dsv4 parse`.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dsv::chat {

// {"messages", "tools"?, "context"?, "options"} -> {"text"}, or {"error"}.
std::string RenderLine(std::string_view line);

// {"text", "options": {"mode"}} -> {"role", "content", "reasoning_content", "tool_calls"}, or
// {"error"}. Feeds the parser `feed` bytes at a time; 0 stands for all at once. In tolerant mode
// "notes" lists repairs if there were any, and a call that is not whole has "complete": false.
std::string ParseLine(std::string_view line, size_t feed, bool tolerant);

}  // namespace dsv::chat
