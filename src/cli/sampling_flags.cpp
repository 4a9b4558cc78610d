#include "cli/sampling_flags.h"

#include <charconv>
#include <map>
#include <utility>

namespace dsv::cli {
namespace {

struct Bias {
  dsv4::TokenId token = 0;
  double value = 0;
};

std::optional<Bias> ParseBias(const std::string& text) {
  Bias bias;
  const char* end = text.data() + text.size();
  const auto id = std::from_chars(text.data(), end, bias.token);
  if (id.ec != std::errc() || bias.token < 0 || id.ptr == end || *id.ptr != '=') return {};
  const auto value = std::from_chars(id.ptr + 1, end, bias.value);
  if (value.ec != std::errc() || value.ptr != end) return {};
  return bias;
}

std::string CheckBias(const std::string& text) {
  return ParseBias(text) ? "" : "expected ID=VALUE, found '" + text + "'";
}

}  // namespace

void AddSamplingFlags(CLI::App& command, SamplingFlags& flags) {
  const std::string group = "Sampling";
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->group(group);
  };
  add("-n,--max-tokens", flags.max_tokens, "Longest reply; 0: up to the end of the context")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->capture_default_str();
  add("--temperature", flags.temperature, "0: the most likely token; default: the checkpoint's");
  add("--top-p", flags.top_p,
      "Sample from the fewest tokens with this probability; 1: off; default: the checkpoint's");
  add("--top-k", flags.top_k,
      "Sample from this many likely tokens; 0: off; default: the checkpoint's");
  add("--min-p", flags.fixed.min_p, "Least probability, relative to the likeliest token; 0: off")
      ->capture_default_str();
  add("--repetition-penalty", flags.fixed.repetition_penalty,
      "Divides positive and multiplies negative logits of tokens that occurred; 1: off")
      ->capture_default_str();
  add("--presence-penalty", flags.fixed.presence_penalty,
      "Subtracted from the logit of every sampled token")
      ->capture_default_str();
  add("--frequency-penalty", flags.fixed.frequency_penalty,
      "Subtracted for every time a token was sampled")
      ->capture_default_str();
  add("--logit-bias", flags.logit_bias, "Added to the logit of one token; may be repeated")
      ->type_name("ID=VALUE")
      ->allow_extra_args(false)
      ->check(CheckBias);
  add("--stop", flags.stop_strings, "Ends the reply and is left out of it; may be repeated")
      ->type_name("STRING")
      ->allow_extra_args(false);
  add("--stop-token", flags.stop_tokens, "Ends the reply like EOS; may be repeated")
      ->type_name("ID")
      ->allow_extra_args(false);
  add("--seed", flags.fixed.seed, "Same seed and instruction set, same tokens")
      ->capture_default_str();
}

dsv4::GenerateOptions MakeGenerateOptions(const SamplingFlags& flags, const dsv4::Engine& engine) {
  const dsv4::SamplingOptions defaults = engine.default_sampling();
  dsv4::GenerateOptions options;
  options.sampling = flags.fixed;
  options.sampling.temperature = flags.temperature.value_or(defaults.temperature);
  options.sampling.top_p = flags.top_p.value_or(defaults.top_p);
  options.sampling.top_k = flags.top_k.value_or(defaults.top_k);
  for (const std::string& text : flags.logit_bias) {
    if (const auto bias = ParseBias(text)) options.sampling.logit_bias[bias->token] = bias->value;
  }
  options.max_tokens =
      flags.max_tokens > 0 ? flags.max_tokens : engine.info().max_position_embeddings;
  options.stop_strings = flags.stop_strings;
  options.stop_tokens = flags.stop_tokens;
  return options;
}

CLI::Option* AddThinkFlag(CLI::App& command, dsv4::Thinking& thinking) {
  const std::map<std::string, dsv4::Thinking> levels{{"none", dsv4::Thinking::kNone},
                                                     {"high", dsv4::Thinking::kHigh},
                                                     {"max", dsv4::Thinking::kMax}};
  return command
      .add_option("--think", thinking,
                  "Reasoning before the answer: none, high (the model's usual), max (wants a "
                  "context of 384K tokens)")
      ->type_name("none|high|max")
      ->default_str("none")
      ->transform(CLI::CheckedTransformer(levels).description(""));
}

}  // namespace dsv::cli
