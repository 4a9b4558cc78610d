// dsv4 tokenize: text to token ids and back, for people and, as JSON lines, for programs.
#include <fmt/format.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/utf8.h"
#include "checkpoint/config_reader.h"
#include "cli/commands.h"
#include "cli/flag_checks.h"
#include "cli/text_input.h"
#include "tokenizer/tokenizer.h"

namespace dsv::cli {
namespace {

struct TokenizeFlags {
  std::string tokenizer;
  bool decode = false;
  bool jsonl = false;
};

// A flag of a request line; `fallback` if it is absent.
Result<bool> BoolField(const Json& request, const char* name, bool fallback) {
  const auto field = request.find(name);
  if (field == request.end()) return fallback;
  if (!field->is_boolean())
    return Fail("{}: expected true or false, found {}", name, Shown(*field));
  return field->get<bool>();
}

std::string FoundIn(const Json& request, Json::const_iterator field) {
  return field == request.end() ? "none" : Shown(*field);
}

Result<int32_t> TokenId(const Json& value, size_t index) {
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() <= INT32_MAX
                        : value.is_number_integer() && value.get<int64_t>() >= INT32_MIN;
  if (!fits) return Fail("ids[{}]: expected a token id, found {}", index, Shown(value));
  return value.get<int32_t>();
}

Result<std::string> EncodeRequest(const Tokenizer& tokenizer, const Json& request) {
  const auto text = request.find("text");
  if (text == request.end() || !text->is_string()) {
    return Fail("text: expected a string, found {}", FoundIn(request, text));
  }
  EncodeOptions options;
  DSV_ASSIGN(options.match_added, BoolField(request, "match_added", true));
  DSV_ASSIGN(const auto ids, tokenizer.Encode(text->get_ref<const std::string&>(), options));
  return fmt::format("{{\"ids\": [{}]}}", fmt::join(ids, ", "));
}

Result<std::string> DecodeRequest(const Tokenizer& tokenizer, const Json& request) {
  const auto list = request.find("ids");
  if (list == request.end() || !list->is_array()) {
    return Fail("ids: expected an array, found {}", FoundIn(request, list));
  }
  std::vector<int32_t> ids;
  for (const Json& value : *list) {
    DSV_ASSIGN(const int32_t id, TokenId(value, ids.size()));
    ids.push_back(id);
  }
  DecodeOptions options;
  DSV_ASSIGN(options.skip_special, BoolField(request, "skip_special", false));
  DSV_ASSIGN(const std::string bytes, tokenizer.Decode(ids, options));
  std::string hex;
  for (const char c : bytes) {
    fmt::format_to(std::back_inserter(hex), "{:02x}", static_cast<unsigned char>(c));
  }
  if (FindInvalidUtf8(bytes)) return fmt::format("{{\"hex\": \"{}\"}}", hex);
  return fmt::format("{{\"hex\": \"{}\", \"text\": {}}}", hex, Json(bytes).dump());
}

Result<std::string> Answer(const Tokenizer& tokenizer, bool decode, const std::string& line) {
  DSV_ASSIGN(const Json request, ParseJson(line, "request"));
  if (!request.is_object())
    return Fail("request: expected a JSON object, found {}", Shown(request));
  return decode ? DecodeRequest(tokenizer, request) : EncodeRequest(tokenizer, request);
}

// One answer per line; a request that is refused does not end the stream.
Status RunJsonLines(const Tokenizer& tokenizer, bool decode) {
  for (std::string line; std::getline(std::cin, line);) {
    const auto answer = Answer(tokenizer, decode, line);
    if (answer) {
      std::cout << *answer << std::endl;
    } else {
      const Json error = {{"error", answer.error().message}};
      std::cout << error.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
    }
    if (!std::cout) return Fail("standard output: write failed");
  }
  return CheckStandardInput();
}

Status RunText(const Tokenizer& tokenizer, bool decode) {
  if (!decode) {
    DSV_ASSIGN(const std::string text, ReadStandardInput());
    DSV_ASSIGN(const auto ids, tokenizer.Encode(text));
    std::cout << fmt::format("{}", fmt::join(ids, " ")) << std::endl;
  } else {
    std::vector<int32_t> ids;
    for (std::string word; std::cin >> word;) {
      if (!ParseNumber(word, ids.emplace_back())) {
        return Fail("standard input: expected token ids, separated by spaces, found '{}'", word);
      }
    }
    DSV_TRY(CheckStandardInput());
    DSV_ASSIGN(const std::string bytes, tokenizer.Decode(ids));
    std::cout << bytes << std::flush;
  }
  return std::cout ? Status() : Fail("standard output: write failed");
}

Status Run(const TokenizeFlags& flags) {
  DSV_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(flags.tokenizer));
  return flags.jsonl ? RunJsonLines(tokenizer, flags.decode) : RunText(tokenizer, flags.decode);
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, Action& action) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* command =
      app.add_subcommand("tokenize", "Turns text on standard input into token ids, or back");
  command->add_option("tokenizer", flags->tokenizer, "tokenizer.json or a model directory")
      ->type_name("TOKENIZER_OR_MODEL")
      ->required();
  command->add_flag("--decode", flags->decode, "From ids, separated by spaces, to text");
  command->add_flag(
      "--jsonl", flags->jsonl,
      "A JSON object on each line. In: {\"text\": ..., \"match_added\": true}, "
      "out: {\"ids\": [...]}. With --decode, in: {\"ids\": [...], "
      "\"skip_special\": false}, out: {\"hex\": ..., \"text\": ...}, text only if the "
      "bytes are UTF-8. A refused line gives {\"error\": ...}");
  command->callback([flags, &action] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
