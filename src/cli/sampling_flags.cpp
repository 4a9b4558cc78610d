#include "cli/sampling_flags.h"

#include <charconv>
#include <limits>

#include "cli/flag_checks.h"

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
  const auto real = [&](const char* name, auto& value, const char* help) {
    return add(name, value, help)->type_name("X")->check(RealNumber());
  };
  const auto whole = [&](const char* name, auto& value, const char* help, auto max) {
    return add(name, value, help)
        ->type_name("N")
        ->check(WholeNumber<decltype(max)>(0, max))
        ->capture_default_str();
  };
  constexpr int64_t kMaxCount = int64_t{1} << 40;
  whole("-n,--max-tokens", flags.max_tokens, "Longest reply; 0: up to the end of the context",
        kMaxCount);
  real("--temperature", flags.temperature, "0: the most likely token; default: the checkpoint's");
  real("--top-p", flags.top_p,
       "Sample from the fewest tokens with this probability; 1: off; default: the checkpoint's");
  add("--top-k", flags.top_k,
      "Sample from this many likely tokens; 0: off; default: the checkpoint's")
      ->type_name("N")
      ->check(WholeNumber<int64_t>(0, kMaxCount));
  real("--min-p", flags.min_p,
       "Least probability, relative to the likeliest token; 0: off; default: the checkpoint's");
  real("--repetition-penalty", flags.repetition_penalty,
       "Divides positive and multiplies negative logits of tokens that occurred; 1: off; default: "
       "the checkpoint's");
  real("--presence-penalty", flags.fixed.presence_penalty,
       "Subtracted from the logit of every sampled token")
      ->capture_default_str();
  real("--frequency-penalty", flags.fixed.frequency_penalty,
       "Subtracted for every time a token was sampled")
      ->capture_default_str();
  add("--logit-bias", flags.logit_bias, "Added to the logit of one token; may be repeated")
      ->type_name("ID=VALUE")
      ->allow_extra_args(false)
      ->check(CheckBias);
  add("--stop", flags.stop_strings, "Ends the reply and is left out of it; may be repeated")
      ->type_name("STRING")
      ->allow_extra_args(false)
      ->check(SomeText());
  add("--stop-token", flags.stop_tokens, "Ends the reply like EOS; may be repeated")
      ->type_name("ID")
      ->allow_extra_args(false)
      ->check(WholeNumber<dsv4::TokenId>(0, std::numeric_limits<dsv4::TokenId>::max()));
  whole("--seed", flags.fixed.seed, "Same seed and instruction set, same tokens",
        std::numeric_limits<uint64_t>::max());
}

dsv4::GenerateOptions MakeGenerateOptions(const SamplingFlags& flags, const dsv4::Engine& engine) {
  const dsv4::SamplingOptions defaults = engine.default_sampling();
  dsv4::GenerateOptions options;
  options.sampling = flags.fixed;
  options.sampling.temperature = flags.temperature.value_or(defaults.temperature);
  options.sampling.top_p = flags.top_p.value_or(defaults.top_p);
  options.sampling.top_k = flags.top_k.value_or(defaults.top_k);
  options.sampling.min_p = flags.min_p.value_or(defaults.min_p);
  options.sampling.repetition_penalty =
      flags.repetition_penalty.value_or(defaults.repetition_penalty);
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
  const auto set = [&thinking](const std::string& level) {
    thinking = level == "high"  ? dsv4::Thinking::kHigh
               : level == "max" ? dsv4::Thinking::kMax
                                : dsv4::Thinking::kNone;
  };
  return command
      .add_option_function<std::string>(
          "--think", set,
          "Reasoning before the answer: none, high (the model's usual), max (wants a "
          "context of 384K tokens)")
      ->type_name("none|high|max")
      ->default_str("none")
      ->check(OneOf({"none", "high", "max"}));
}

}  // namespace dsv::cli
