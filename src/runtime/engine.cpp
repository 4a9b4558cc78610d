// Engine and Session of the public header: validation, the splitting of works into passes, and the
// boundary at which allocation failure becomes an error.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <mutex>
#include <new>
#include <utility>

#include "base/result.h"
#include "base/thread_pool.h"
#include "checkpoint/config.h"
#include "checkpoint/verify.h"
#include "checkpoint/weights.h"
#include "dsv4/dsv4.h"
#include "io/checkpoint.h"
#include "kernels/kernels.h"
#include "model/transformer.h"
#include "runtime/tokenizer_impl.h"

namespace dsv4 {

using dsv::Fail;
using Progress = std::function<bool(int64_t, int64_t)>;

namespace {

dsv::Logits RowsOf(LogitRows rows) {
  switch (rows) {
    case LogitRows::kNone:
      return dsv::Logits::kNone;
    case LogitRows::kLast:
      return dsv::Logits::kLast;
    case LogitRows::kAll:
      return dsv::Logits::kAll;
  }
  return dsv::Logits::kNone;
}

// kLast means the last token of the work, so only the pass that ends it keeps a row.
dsv::Logits RowsOfPass(LogitRows wanted, bool ends_work) {
  return RowsOf(wanted == LogitRows::kLast && !ends_work ? LogitRows::kNone : wanted);
}

void AppendRows(std::vector<float>& all, std::vector<float>& part) {
  if (all.empty()) {
    all = std::move(part);
  } else {
    all.insert(all.end(), part.begin(), part.end());
  }
}

bool HasNan(std::span<const float> logits) {
  bool any = false;
  for (const float logit : logits) any |= std::isnan(logit);
  return any;
}

Status CheckTokens(std::span<const TokenId> tokens, int64_t vocab_size) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_size) {
      return Fail("token {}: expected an id below {}, found {}", i, vocab_size, tokens[i]);
    }
  }
  return {};
}

}  // namespace

struct Session::Impl {
  Engine::Impl* engine = nullptr;
  bool mtp = false;
  dsv::SessionState state;
  std::vector<TokenId> tokens;
  bool broken = false;  // memory ran out in the middle of a pass
};

struct Engine::Impl {
  Impl(dsv::Checkpoint c, dsv::Transformer t, const dsv::Kernels& k, const EngineOptions& o)
      : checkpoint(std::move(c)),
        transformer(std::move(t)),
        kernels(k),
        options(o),
        pool(o.threads) {
    const dsv::ModelConfig& config = transformer.config();
    info.vocab_size = config.vocab_size;
    info.hidden_size = config.hidden_size;
    info.num_hidden_layers = config.num_hidden_layers;
    info.max_position_embeddings = config.max_position_embeddings;
    info.bos_token_id = static_cast<TokenId>(config.bos_token_id);
    info.eos_token_id = static_cast<TokenId>(config.eos_token_id);
    info.has_mtp = transformer.has_mtp();
  }

  dsv::Precision precision() const {
    return options.precision == Precision::kReference ? dsv::Precision::kReference
                                                      : dsv::Precision::kF32;
  }

  Status CheckWork(std::span<const Work> works, size_t index) const;
  Status RunPass(std::span<const Work> works, std::vector<size_t>& done,
                 std::vector<WorkLogits>& results);
  tl::unexpected<Error> NanError();
  Result<std::vector<WorkLogits>> Forward(std::span<const Work> works, const Progress& progress);

  dsv::Checkpoint checkpoint;  // owns the bytes that the transformer reads
  dsv::Transformer transformer;
  const dsv::Kernels& kernels;
  EngineOptions options;
  ModelInfo info;
  std::optional<Tokenizer> tokenizer;
  dsv::GenerationConfig generation;
  dsv::ThreadPool pool;
  std::mutex forward_mutex;  // one batch at a time uses the pool
};

Status Engine::Impl::CheckWork(std::span<const Work> works, size_t index) const {
  const Work& work = works[index];
  if (work.session == nullptr || work.session->impl_->engine != this) {
    return Fail("work {}: expected a session of this engine", index);
  }
  for (size_t i = 0; i < index; ++i) {
    if (works[i].session == work.session) return Fail("works {} and {} share a session", i, index);
  }
  const Session::Impl& session = *work.session->impl_;
  if (session.broken) return Fail("work {}: memory ran out in this session before", index);
  if (work.tokens.empty()) return Fail("work {}: expected at least one token, found none", index);
  const auto end = static_cast<int64_t>(session.tokens.size() + work.tokens.size());
  if (end > info.max_position_embeddings) {
    return Fail("context: expected at most {} tokens (max_position_embeddings), found {}",
                info.max_position_embeddings, end);
  }
  if (work.mtp_logits != LogitRows::kNone && !session.state.mtp) {
    return Fail("work {}: MTP logits need a session made with mtp", index);
  }
  return CheckTokens(work.tokens, info.vocab_size);
}

// Feeds the next `chunk` tokens of the works, in their order. `done` counts the tokens of each work
// that have been fed.
Status Engine::Impl::RunPass(std::span<const Work> works, std::vector<size_t>& done,
                             std::vector<WorkLogits>& results) {
  std::vector<dsv::Work> pass;
  std::vector<size_t> index;
  auto room = static_cast<size_t>(options.chunk);
  for (size_t i = 0; i < works.size() && room > 0; ++i) {
    const size_t count = std::min(works[i].tokens.size() - done[i], room);
    if (count == 0) continue;
    const bool ends_work = done[i] + count == works[i].tokens.size();
    pass.push_back({&works[i].session->impl_->state, works[i].tokens.subspan(done[i], count),
                    RowsOfPass(works[i].logits, ends_work),
                    RowsOfPass(works[i].mtp_logits, ends_work)});
    index.push_back(i);
    room -= count;
  }
  try {
    const dsv::OpContext context{kernels, pool, precision()};
    std::vector<dsv::WorkLogits> logits = transformer.Forward(context, pass);
    for (size_t p = 0; p < pass.size(); ++p) {
      std::vector<TokenId>& tokens = works[index[p]].session->impl_->tokens;
      tokens.insert(tokens.end(), pass[p].tokens.begin(), pass[p].tokens.end());
      done[index[p]] += pass[p].tokens.size();
      AppendRows(results[index[p]].logits, logits[p].logits);
      AppendRows(results[index[p]].mtp_logits, logits[p].mtp_logits);
    }
  } catch (const std::bad_alloc&) {
    for (const size_t i : index) works[i].session->impl_->broken = true;
    return Fail("out of memory in a pass of {} rows", options.chunk);
  }
  return {};
}

// Only a damaged weight makes NaN, so the weights are read to name it.
tl::unexpected<Error> Engine::Impl::NanError() {
  const auto problems = dsv::VerifyData(transformer.config(), checkpoint, pool, nullptr);
  if (!problems.empty()) return Fail("{}", problems.front());
  return Fail("{}: expected finite logits, found NaN", checkpoint.directory().string());
}

Result<std::vector<WorkLogits>> Engine::Impl::Forward(std::span<const Work> works,
                                                      const Progress& progress) {
  size_t total = 0;
  for (size_t i = 0; i < works.size(); ++i) {
    DSV_TRY(CheckWork(works, i));
    total += works[i].tokens.size();
  }
  const std::lock_guard lock(forward_mutex);
  std::vector<WorkLogits> results(works.size());
  std::vector<size_t> done(works.size(), 0);
  size_t total_done = 0;
  while (total_done < total) {
    DSV_TRY(RunPass(works, done, results));
    total_done = 0;
    for (const size_t count : done) total_done += count;
    if (progress && !progress(static_cast<int64_t>(total_done), static_cast<int64_t>(total)) &&
        total_done < total) {
      return Fail("cancelled after {} of {} tokens", total_done, total);
    }
  }
  for (const WorkLogits& result : results) {
    if (HasNan(result.logits) || HasNan(result.mtp_logits)) return NanError();
  }
  return results;
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Result<Engine> Engine::Open(const std::string& directory, const EngineOptions& options) {
  constexpr int64_t kMaxThreads = 4096;
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return Fail("threads: expected 0 (all) to {}, found {}", kMaxThreads, options.threads);
  }
  if (options.chunk < 1) return Fail("chunk: expected at least 1 row, found {}", options.chunk);
  DSV_ASSIGN(const dsv::Kernels* kernels, dsv::SelectKernels(dsv::ForcedIsa()));
  DSV_ASSIGN(dsv::ModelConfig config, dsv::LoadConfig(directory));
  DSV_ASSIGN(dsv::Checkpoint checkpoint, dsv::Checkpoint::Open(directory));
  DSV_ASSIGN(dsv::ModelWeights weights, dsv::BindWeights(config, checkpoint));
  DSV_TRY(dsv::CheckSelection(config, checkpoint));
  dsv::Transformer transformer(std::move(config), std::move(weights));
  EngineOptions effective = options;
  if (effective.threads == 0) effective.threads = dsv::AvailableThreads();
  auto impl =
      std::make_unique<Impl>(std::move(checkpoint), std::move(transformer), *kernels, effective);
  DSV_ASSIGN(impl->generation, dsv::LoadGenerationConfig(directory));
  for (const int64_t id : impl->generation.eos_token_ids) {
    if (static_cast<TokenId>(id) == impl->info.eos_token_id) continue;
    impl->info.more_stop_tokens.push_back(static_cast<TokenId>(id));
  }
  const std::filesystem::path tokenizer = std::filesystem::path(directory) / "tokenizer.json";
  std::error_code error;
  if (std::filesystem::exists(tokenizer, error)) {
    DSV_ASSIGN(impl->tokenizer, Tokenizer::Load(tokenizer.string()));
  }
  return Engine(std::move(impl));
}

const ModelInfo& Engine::info() const { return impl_->info; }

int64_t Engine::threads() const { return impl_->pool.size(); }

std::string_view Engine::isa() const { return impl_->kernels.name; }

const Tokenizer* Engine::tokenizer() const {
  return impl_->tokenizer ? &*impl_->tokenizer : nullptr;
}

SamplingOptions Engine::default_sampling() const {
  const dsv::GenerationConfig& config = impl_->generation;
  SamplingOptions sampling;
  sampling.temperature = config.do_sample ? config.temperature : 0.0;
  sampling.top_p = config.top_p;
  sampling.top_k = config.top_k;
  sampling.min_p = config.min_p;
  sampling.repetition_penalty = config.repetition_penalty;
  return sampling;
}

Result<Session> Engine::NewSession(bool mtp) const {
  if (mtp && !impl_->transformer.has_mtp()) {
    return Fail("{}: MTP logits were asked for, but the checkpoint has no MTP block",
                impl_->checkpoint.directory().string());
  }
  auto session = std::make_unique<Session::Impl>();
  session->engine = impl_.get();
  session->mtp = mtp;
  Session result(std::move(session));
  result.Clear();
  return result;
}

Result<std::vector<WorkLogits>> Engine::Forward(std::span<const Work> works,
                                                const Progress& progress) const {
  return impl_->Forward(works, progress);
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

std::span<const TokenId> Session::tokens() const { return impl_->tokens; }

int64_t Session::state_bytes() const { return impl_->state.Bytes(); }

const Tokenizer* Session::tokenizer() const {
  return impl_->engine->tokenizer ? &*impl_->engine->tokenizer : nullptr;
}

const ModelInfo& Session::info() const { return impl_->engine->info; }

void Session::Clear() {
  const Engine::Impl& engine = *impl_->engine;
  impl_->state = engine.transformer.NewState(engine.precision(), impl_->mtp);
  impl_->tokens.clear();
  impl_->broken = false;
}

Result<std::vector<float>> Session::Append(std::span<const TokenId> tokens,
                                           const Progress& progress) {
  const Work work{this, tokens, LogitRows::kLast, LogitRows::kNone};
  DSV_ASSIGN(std::vector<WorkLogits> results,
             impl_->engine->Forward(std::span(&work, 1), progress));
  return std::move(results.front().logits);
}

}  // namespace dsv4
