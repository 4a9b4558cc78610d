// White space as the published parser sees it.
#pragma once

#include <cstddef>
#include <string_view>

namespace dsv::chat {

// Bytes of the character at the start of `text` if Python's \s matches it, else 0.
size_t LeadingSpace(std::string_view text);

}  // namespace dsv::chat
