// What a reply took: as a line for people and as JSON for programs.
#pragma once

#include <string>

#include "base/json.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {

// Tokens per second; 0 if there is nothing to measure.
double Rate(int64_t tokens, double seconds);

// Tokens that went through the model while the reply was sampled: all but the last.
int64_t DecodedTokens(const dsv4::Generation& generation);

// "prompt 12 tokens, 812 tokens/s; reply 40 tokens, 350 tokens/s; stopped at ..."
std::string ReplyAsLine(const dsv4::Generation& generation);

Json ReplyAsJson(const dsv4::ChatReply& reply);

}  // namespace dsv::cli
