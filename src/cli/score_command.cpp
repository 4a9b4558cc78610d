// dsv4 score: logits of given tokens for programs, or the likelihood of a text for people.
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/reply_printer.h"
#include "cli/text_input.h"
#include "cli/token_scores.h"
#include "dsv4/dsv4.h"
#include "io/safetensors.h"
#include "tensor/number_formats.h"

namespace dsv::cli {
namespace {

struct ScoreFlags {
  ModelFlags model;
  std::string tokens;
  std::string logits;
  std::string text;
  bool mtp = false;
};

Result<std::vector<int32_t>> ReadTokens(const std::string& path) {
  DSV_ASSIGN(const SafetensorsFile file, SafetensorsFile::Open(path));
  const TensorView* view = file.Find("tokens");
  if (const UnsupportedTensor* other = file.FindUnsupported("tokens")) {
    return Fail("{}: tokens: expected I64 of one dimension, found {} of {}", path, other->dtype,
                other->shape.size());
  }
  if (view == nullptr) return Fail("{}: expected a tensor named tokens, found none", path);
  if (view->dtype != DType::kI64 || view->shape.size() != 1) {
    return Fail("{}: tokens: expected I64 of one dimension, found {} of {}", path,
                DTypeName(view->dtype), view->shape.size());
  }
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < view->Elements(); ++i) {
    const auto id = LoadUnaligned<int64_t>(view->data + 8 * i);
    if (id < 0 || id > INT32_MAX) {
      return Fail("{}: tokens[{}]: expected a token id, found {}", path, i, id);
    }
    tokens.push_back(static_cast<int32_t>(id));
  }
  if (tokens.empty()) return Fail("{}: tokens: expected at least one token, found none", path);
  return tokens;
}

Status WriteLogits(const ScoreFlags& flags) {
  DSV_ASSIGN(const std::vector<int32_t> tokens, ReadTokens(flags.tokens));
  DSV_ASSIGN(const dsv4::Engine engine, OpenEngine(flags.model));
  const auto t = static_cast<int64_t>(tokens.size());
  const int64_t vocab = engine.info().vocab_size;
  std::vector<SafetensorsWriter::Entry> entries{{"logits", DType::kF32, {t, vocab}}};
  if (flags.mtp) entries.push_back({"mtp_logits", DType::kF32, {t - 1, vocab}});
  for (const int32_t token : tokens) {
    if (token >= vocab) {
      return Fail("{}: tokens: expected ids below {}, found {}", flags.tokens, vocab, token);
    }
  }
  const RemoveOnSignal remove(AtomicFile::PartialPath(flags.logits));
  DSV_ASSIGN(SafetensorsWriter writer, SafetensorsWriter::Create(flags.logits, entries));
  const auto write = [&](size_t, const dsv4::WorkLogits& result) -> Status {
    DSV_TRY(writer.Append(0, std::as_bytes(std::span(result.logits))));
    if (!flags.mtp) return {};
    return writer.Append(1, std::as_bytes(std::span(result.mtp_logits)));
  };
  DSV_TRY(ForEachBlock(engine, {flags.model.chunk, flags.mtp, flags.tokens}, tokens, write));
  return writer.Commit();
}

Status ScoreText(const ScoreFlags& flags) {
  DSV_ASSIGN(const std::string text, ReadTextFile(flags.text));
  DSV_ASSIGN(const dsv4::Engine engine, OpenEngine(flags.model));
  if (engine.tokenizer() == nullptr) {
    return Fail("{}: expected a tokenizer.json to score a text, found none", flags.model.directory);
  }
  DSV_ASSIGN(const std::vector<int32_t> ids, engine.tokenizer()->Encode(text, false));
  if (ids.empty()) return Fail("{}: expected text, found none", flags.text);
  // BOS stands before the text, so that its first token is predicted too.
  std::vector<int32_t> tokens{engine.info().bos_token_id};
  tokens.insert(tokens.end(), ids.begin(), ids.end());
  double total = 0;
  DSV_TRY(ForEachLikelihood(engine, {.chunk = flags.model.chunk, .source = flags.text}, tokens,
                            [&](size_t, double loss) { total += loss; }));
  const double mean = total / static_cast<double>(ids.size());
  const Json answer{{"tokens", ids.size()},
                    {"bytes", text.size()},
                    {"mean_nll", mean},
                    {"perplexity", std::exp(mean)},
                    {"bits_per_byte", total / std::log(2.0) / static_cast<double>(text.size())}};
  std::puts(answer.dump().c_str());
  return CheckStandardOutput();
}

}  // namespace

void AddScoreCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "score", "Write the logits of given tokens, or print the likelihood of a text as JSON");
  const auto flags = std::make_shared<ScoreFlags>();
  AddModelFlags(*command, flags->model);
  CLI::Option* tokens = command
                            ->add_option("--tokens", flags->tokens,
                                         "safetensors file with a tensor `tokens`, I64 [T]")
                            ->type_name("FILE");
  CLI::Option* logits =
      command
          ->add_option("--logits", flags->logits, "safetensors file to write: `logits` F32 [T,V]")
          ->type_name("FILE");
  CLI::Option* text =
      command
          ->add_option("--text", flags->text,
                       "text file; prints tokens, mean_nll, perplexity and bits_per_byte")
          ->type_name("FILE");
  CLI::Option* mtp = command->add_flag("--mtp", flags->mtp,
                                       "also write `mtp_logits` F32 [T-1,V] of the MTP block");
  tokens->needs(logits);
  logits->needs(tokens);
  mtp->needs(tokens);
  text->excludes(tokens);
  command->callback([&action, flags] {
    action = [flags]() -> Status {
      if (!flags->text.empty()) return ScoreText(*flags);
      if (flags->tokens.empty()) return Fail("score: expected --tokens with --logits, or --text");
      return WriteLogits(*flags);
    };
  });
}

}  // namespace dsv::cli
