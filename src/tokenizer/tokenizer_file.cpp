#include "tokenizer/tokenizer_file.h"

#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>

#include "tokenizer/merges.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/tokenizer_sax.h"

namespace dsv {
namespace {

using nlohmann::json;

// A value as an error message shows it.
std::string Show(const json* value) {
  if (value == nullptr) return "nothing";
  std::string text = value->dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

const json* Find(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

// A field of an object, and the value that the family has.
struct Expected {
  const char* key;
  json value;
  bool may_be_absent = false;
};

// Checks the fields that change what the tokenizer does; `where` is the path of `object`.
Status CheckFields(const json* object, std::string_view where,
                   std::initializer_list<Expected> fields) {
  if (object == nullptr || !object->is_object()) {
    return Fail("{}: expected an object, found {}", where, Show(object));
  }
  for (const Expected& field : fields) {
    const json* value = Find(*object, field.key);
    if (value == nullptr ? field.may_be_absent : *value == field.value) continue;
    return Fail("{}.{}: expected {}, found {}", where, field.key, Show(&field.value), Show(value));
  }
  return {};
}

// A truncated copy of the text would hide where two patterns differ, so the message does not show
// it.
Status CheckSplit(const json& stage, const std::string& where, std::string_view pattern) {
  DSV_TRY(
      CheckFields(&stage, where, {{"type", "Split"}, {"behavior", "Isolated"}, {"invert", false}}));
  const json* value = Find(stage, "pattern");
  const json* regex = value != nullptr && value->is_object() ? Find(*value, "Regex") : nullptr;
  if (regex == nullptr || *regex != json(std::string(pattern))) {
    return Fail("{}.pattern.Regex: not the expression of this tokenizer family", where);
  }
  return {};
}

Status CheckPreTokenizer(const json& root) {
  const json* value = Find(root, "pre_tokenizer");
  DSV_TRY(CheckFields(value, "pre_tokenizer", {{"type", "Sequence"}}));
  const json* stages = Find(*value, "pretokenizers");
  const size_t count = stages != nullptr && stages->is_array() ? stages->size() : 0;
  if (count != 4) {
    return Fail("pre_tokenizer.pretokenizers: expected an array of 4 stages, found {}",
                count == 0 ? Show(stages) : fmt::format("{}", count));
  }
  const std::array patterns = {kNumberPattern, kIdeographPattern, kWordPattern};
  for (size_t i = 0; i < patterns.size(); ++i) {
    const std::string where = fmt::format("pre_tokenizer.pretokenizers[{}]", i);
    DSV_TRY(CheckSplit((*stages)[i], where, patterns[i]));
  }
  return CheckFields(&(*stages)[3], "pre_tokenizer.pretokenizers[3]",
                     {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
}

bool IsNull(const json* value) { return value == nullptr || value->is_null(); }

Status CheckPipeline(const json& root) {
  for (const char* key : {"truncation", "padding"}) {
    const json* value = Find(root, key);
    if (!IsNull(value)) return Fail("{}: expected null, found {}", key, Show(value));
  }
  const json* normalizer = Find(root, "normalizer");
  if (!IsNull(normalizer)) {
    DSV_TRY(CheckFields(normalizer, "normalizer",
                        {{"type", "Sequence"}, {"normalizers", json::array()}}));
  }
  DSV_TRY(CheckPreTokenizer(root));
  // A byte-level post-processor changes offsets only, which this tokenizer does not report.
  const json* post_processor = Find(root, "post_processor");
  if (!IsNull(post_processor)) {
    DSV_TRY(CheckFields(post_processor, "post_processor", {{"type", "ByteLevel"}}));
  }
  return CheckFields(Find(root, "decoder"), "decoder", {{"type", "ByteLevel"}});
}

// A field that we do not know could change what the merges mean, so it is refused.
const std::set<std::string_view> kModelKeys = {"type",
                                               "dropout",
                                               "unk_token",
                                               "continuing_subword_prefix",
                                               "end_of_word_suffix",
                                               "fuse_unk",
                                               "byte_fallback",
                                               "ignore_merges",
                                               "vocab",
                                               "merges"};

Status CheckModel(const json& root) {
  const json* model = Find(root, "model");
  DSV_TRY(CheckFields(model, "model",
                      {{"type", "BPE"},
                       {"dropout", nullptr, true},
                       {"unk_token", nullptr, true},
                       {"byte_fallback", false, true},
                       {"ignore_merges", false, true}}));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json* value = Find(*model, key);
    if (IsNull(value) || *value == "") continue;
    return Fail("model.{}: expected null, found {}", key, Show(value));
  }
  for (const auto& [key, value] : model->items()) {
    if (!kModelKeys.contains(key)) return Fail("model.{}: unknown field", Quote(key));
  }
  const json* vocab = Find(*model, "vocab");
  if (vocab == nullptr || !vocab->is_object()) {
    return Fail("model.vocab: expected an object, found {}", Show(vocab));
  }
  const json* merges = Find(*model, "merges");
  if (merges == nullptr || !merges->is_array()) {
    return Fail("model.merges: expected an array, found {}", Show(merges));
  }
  return {};
}

Result<AddedToken> ParseAddedToken(const json& value, const std::string& where) {
  DSV_TRY(CheckFields(
      &value, where,
      {{"single_word", false, true}, {"lstrip", false, true}, {"rstrip", false, true}}));
  AddedToken token;
  const json* content = Find(value, "content");
  if (content == nullptr || !content->is_string() ||
      content->get_ref<const std::string&>().empty()) {
    return Fail("{}.content: expected a non-empty string, found {}", where, Show(content));
  }
  token.content = content->get_ref<const std::string&>();
  const json* id = Find(value, "id");
  if (id == nullptr || !id->is_number_unsigned() ||
      id->get<uint64_t>() > static_cast<uint64_t>(kMaxTokenId)) {
    return Fail("{}.id: expected an id in 0..{}, found {}", where, kMaxTokenId, Show(id));
  }
  token.id = id->get<int64_t>();
  const json* special = Find(value, "special");
  if (special != nullptr && !special->is_boolean()) {
    return Fail("{}.special: expected true or false, found {}", where, Show(special));
  }
  token.special = special != nullptr && special->get<bool>();
  return token;
}

Result<std::vector<AddedToken>> ParseAddedTokens(const json& root) {
  std::vector<AddedToken> tokens;
  const json* list = Find(root, "added_tokens");
  if (IsNull(list)) return tokens;
  if (!list->is_array()) return Fail("added_tokens: expected an array, found {}", Show(list));
  for (size_t i = 0; i < list->size(); ++i) {
    DSV_ASSIGN(AddedToken token, ParseAddedToken((*list)[i], fmt::format("added_tokens[{}]", i)));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Result<TokenizerFile> ReadFields(TokenizerSax sax) {
  const json& root = sax.root();
  if (!root.is_object()) return Fail("expected a JSON object, found {}", Show(&root));
  DSV_TRY(CheckModel(root));
  DSV_TRY(CheckPipeline(root));
  TokenizerFile file;
  DSV_ASSIGN(file.added_tokens, ParseAddedTokens(root));
  file.vocab = sax.TakeVocab();
  file.merges = sax.TakeMerges();
  return file;
}

}  // namespace

std::string Quote(std::string_view text) {
  const json value(std::string(text.substr(0, 60)));
  return value.dump(-1, ' ', false, json::error_handler_t::ignore);
}

Result<TokenizerFile> ParseTokenizerFile(std::string_view json_text, std::string_view source) {
  TokenizerSax sax;
  if (!json::sax_parse(json_text.begin(), json_text.end(), &sax)) {
    return Fail("{}: {}", source, sax.error());
  }
  auto file = ReadFields(std::move(sax));
  if (!file) return Fail("{}: {}", source, file.error().message);
  return file;
}

}  // namespace dsv
