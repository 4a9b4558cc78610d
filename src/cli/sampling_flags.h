// The flags that say how replies are sampled and where they end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {

// What is absent comes from the checkpoint's generation_config.json.
struct SamplingFlags {
  std::optional<double> temperature;
  std::optional<int64_t> top_k;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  dsv4::SamplingOptions fixed;          // of the flags that generation_config.json does not have
  std::vector<std::string> logit_bias;  // "ID=VALUE"
  std::vector<std::string> stop_strings;
  std::vector<dsv4::TokenId> stop_tokens;
  int64_t max_tokens = 0;  // 0: up to the end of the context
};

void AddSamplingFlags(CLI::App& command, SamplingFlags& flags);

dsv4::GenerateOptions MakeGenerateOptions(const SamplingFlags& flags, const dsv4::Engine& engine);

// --think none|high|max
CLI::Option* AddThinkFlag(CLI::App& command, dsv4::Thinking& thinking);

}  // namespace dsv::cli
