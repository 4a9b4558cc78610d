#include <system_error>

#include "base/file.h"
#include "checkpoint/config.h"
#include "checkpoint/config_reader.h"

namespace dsv {
namespace {

constexpr int64_t kMaxTokenId = (1 << 24) - 1;

Result<std::vector<int64_t>> ReadEosIds(ConfigReader& reader, const Json& value) {
  std::vector<int64_t> ids;
  const Json list = value.is_array() ? value : Json::array({value});
  for (const Json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > static_cast<uint64_t>(kMaxTokenId)) {
      return reader.FailAt("eos_token_id", "is {}, expected a token id or a list of them",
                           Shown(value));
    }
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

Result<GenerationConfig> ReadGenerationConfig(ConfigReader& reader) {
  GenerationConfig config;
  // Exporters write null for "not set".
  const auto is_set = [&](std::string_view key) {
    const Json* value = reader.Find(key);
    return value != nullptr && !value->is_null();
  };
  if (is_set("do_sample")) {
    const Json& value = *reader.Find("do_sample");
    if (!value.is_boolean()) {
      return reader.FailAt("do_sample", "is {}, expected true or false", Shown(value));
    }
    config.do_sample = value.get<bool>();
  }
  if (is_set("temperature")) {
    DSV_ASSIGN(config.temperature, reader.Real("temperature", 0, 1e6));
  }
  if (is_set("top_p")) {
    DSV_ASSIGN(config.top_p, reader.Real("top_p", 0, 1));
  }
  if (is_set("top_k")) {
    DSV_ASSIGN(config.top_k, reader.Integer("top_k", 0, kMaxTokenId));
  }
  if (is_set("min_p")) {
    DSV_ASSIGN(config.min_p, reader.Real("min_p", 0, 1));
  }
  if (is_set("repetition_penalty")) {
    DSV_ASSIGN(config.repetition_penalty, reader.Real("repetition_penalty", 1e-3, 1e3));
  }
  if (is_set("eos_token_id")) {
    DSV_ASSIGN(config.eos_token_ids, ReadEosIds(reader, *reader.Find("eos_token_id")));
  }
  return config;
}

}  // namespace

Result<GenerationConfig> LoadGenerationConfig(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "generation_config.json";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return GenerationConfig();
  DSV_ASSIGN(const std::string text, ReadFile(path));
  DSV_ASSIGN(const Json document, ParseJson(text, path.string()));
  if (!document.is_object()) {
    return Fail("{}: expected a JSON object, found {}", path.string(), Shown(document));
  }
  ConfigReader reader(document, path.string());
  return ReadGenerationConfig(reader);
}

}  // namespace dsv
