// Numbers of tokens as people write them: 8K is 8,192 and 1M 1,048,576.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace dsv::cli {

// "1536", "8K", "1M"; a multiple of K or M is written with it.
std::string ShortTokens(int64_t tokens);
Result<int64_t> ParseTokens(std::string_view text);

// Elements "8K" or "8K..1M", which doubles; ascending and without repetition.
Result<std::vector<int64_t>> ParseLengths(const std::vector<std::string>& elements);

}  // namespace dsv::cli
