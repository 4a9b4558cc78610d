// Engine and Session of the public header: validation, the splitting of works into passes, and the
// boundary at which allocation failure becomes an error.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <new>
#include <string>
#include <utility>

#include "base/result.h"
#include "checkpoint/verify.h"
#include "checkpoint/weights.h"
#include "runtime/engine_impl.h"
#include "runtime/tokenizer_impl.h"

namespace dsv4 {

using dsv::Fail;

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

int64_t WeightBytes(const dsv::Checkpoint& checkpoint) {
  int64_t bytes = 0;
  checkpoint.ForEach(
      [&](const auto&, const dsv::TensorView& view, const auto&) { bytes += view.Bytes(); });
  return bytes;
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

Engine::Impl::Impl(dsv::Checkpoint c, dsv::Transformer t, const dsv::Kernels& k,
                   const EngineOptions& o)
    : checkpoint(std::move(c)),
      transformer(std::move(t)),
      kernels(k),
      options(o),
      pool(o.threads),
      held(std::make_shared<dsv::BlockCount>(0)) {
  const dsv::ModelConfig& config = transformer.config();
  info.vocab_size = config.vocab_size;
  info.hidden_size = config.hidden_size;
  info.num_hidden_layers = config.num_hidden_layers;
  info.max_position_embeddings = config.max_position_embeddings;
  info.bos_token_id = static_cast<TokenId>(config.bos_token_id);
  info.eos_token_id = static_cast<TokenId>(config.eos_token_id);
  info.has_mtp = transformer.has_mtp();
  block_bytes = dsv::BlockLayout(config, precision()).bytes();
  tail_bytes = dsv::MaxTailBytes(config, precision(), info.has_mtp);
  scratch_bytes = transformer.ScratchBytes(options.chunk, pool.size());
}

dsv::SessionState Engine::Impl::NewState(bool mtp) const {
  return transformer.NewState(precision(), mtp, held);
}

int64_t Engine::Impl::RowBytes(int64_t tokens) const {
  return (tokens + dsv::kBlockTokens - 1) / dsv::kBlockTokens * block_bytes;
}

Status Engine::Impl::CheckMemory(int64_t bytes, const std::string& what) const {
  const int64_t used = *held + scratch_bytes;
  if (bytes <= memory.available - used) return {};
  constexpr double kMb = 1e6;
  return Fail(
      "memory: {} needs {:.1f} MB more; held {:.1f} MB, scratch {:.1f} MB, available {:.1f} MB "
      "({}); weights are mapped, {:.1f} MB",
      what, static_cast<double>(bytes) / kMb, static_cast<double>(*held) / kMb,
      static_cast<double>(scratch_bytes) / kMb, static_cast<double>(memory.available) / kMb,
      memory.source, static_cast<double>(WeightBytes(checkpoint)) / kMb);
}

// Chooses the context where the caller has not, and refuses one that does not fit.
Status Engine::Impl::Admit() {
  memory = options.memory > 0 ? dsv::MemoryLimit{options.memory, "as asked for"}
                              : dsv::AvailableMemory();
  const int64_t longest = info.max_position_embeddings;
  if (options.context > 0) {
    return CheckMemory(RowBytes(options.context) + tail_bytes,
                       fmt::format("a session of {} tokens", options.context));
  }
  DSV_TRY(CheckMemory(RowBytes(1) + tail_bytes, "a session of 128 tokens"));
  const int64_t left = memory.available - scratch_bytes - tail_bytes;
  options.context =
      block_bytes == 0 ? longest : std::min(longest, left / block_bytes * dsv::kBlockTokens);
  return {};
}

void Engine::Impl::Publish(const dsv::SharedState& state) {
  const std::lock_guard lock(published_mutex);
  std::erase_if(published, [](const auto& weak) { return weak.expired(); });
  published.push_back(state);
}

dsv::SharedState Engine::Impl::FindPublished(std::span<const TokenId> tokens, bool mtp,
                                             int64_t size) {
  const std::lock_guard lock(published_mutex);
  dsv::SharedState best;
  for (const auto& weak : published) {
    const dsv::SharedState state = weak.lock();
    if (state == nullptr || state->mtp.has_value() != mtp || state->tokens() <= size) continue;
    if (state->tokens() > static_cast<int64_t>(tokens.size())) continue;
    if (state->blocks->SharedPrefix(tokens) < state->tokens()) continue;
    if (state->blocks->HasDamage()) continue;
    best = state;
    size = state->tokens();
  }
  return best;
}

Status Engine::Impl::CheckWork(std::span<const Work> works, size_t index) const {
  const Work& work = works[index];
  if (work.session == nullptr || work.session->impl_->engine != this) {
    return Fail("work {}: expected a session of this engine", index);
  }
  for (size_t i = 0; i < index; ++i) {
    if (works[i].session == work.session) return Fail("works {} and {} share a session", i, index);
  }
  const Session::Impl& session = *work.session->impl_;
  if (!session.broken.empty()) return Fail("work {}: {}", index, session.broken);
  if (work.tokens.empty()) return Fail("work {}: expected at least one token, found none", index);
  const auto end = static_cast<int64_t>(session.tokens.size() + work.tokens.size());
  if (end > options.context) {
    return Fail("context: expected at most {} tokens ({}), found {}", options.context,
                options.context == info.max_position_embeddings ? "max_position_embeddings"
                                                                : "the limit of a session",
                end);
  }
  if (work.mtp_logits != LogitRows::kNone && !session.state.mtp) {
    return Fail("work {}: MTP logits need a session made with mtp", index);
  }
  return CheckTokens(work.tokens, info.vocab_size);
}

// The rows that the works will allocate must fit before anything is computed.
Status Engine::Impl::CheckRoom(std::span<const Work> works) const {
  int64_t bytes = 0;
  size_t tokens = 0;
  for (const Work& work : works) {
    const Session::Impl& session = *work.session->impl_;
    const size_t end = session.tokens.size() + work.tokens.size();
    bytes +=
        RowBytes(static_cast<int64_t>(end)) - RowBytes(static_cast<int64_t>(session.tokens.size()));
    tokens += work.tokens.size();
  }
  if (bytes == 0) return {};
  return CheckMemory(bytes, fmt::format("the rows of {} more tokens", tokens));
}

Status Engine::Impl::CheckDamage(std::span<const Work> works, std::span<const size_t> in_pass) {
  if (store == nullptr || store->damage() == damage_seen) return {};
  damage_seen = store->damage();
  Status status;
  for (const size_t i : in_pass) {
    Session::Impl& session = *works[i].session->impl_;
    if (!session.state.blocks->HasDamage()) continue;
    session.broken = fmt::format(
        "{}: rows of this session are damaged and were dropped; open or sync it again to compute "
        "them anew",
        options.store);
    session.damaged = true;
    status = Fail("{}", session.broken);
  }
  return status;
}

// Feeds the next `chunk` tokens of the works, in their order. `done` counts the tokens of each work
// that have been fed.
Status Engine::Impl::RunPass(std::span<const Work> works, std::vector<size_t>& done,
                             std::vector<WorkLogits>& results) {
  std::vector<dsv::Work> pass;
  std::vector<size_t> index;
  auto room = static_cast<size_t>(options.chunk);
  for (size_t i = 0; i < works.size() && room > 0; ++i) {
    const Session::Impl& session = *works[i].session->impl_;
    // A pass ends where a state of the session is due.
    const auto until_next = static_cast<size_t>(
        session.snapshots.UntilNext(static_cast<int64_t>(session.tokens.size())));
    const size_t count = std::min({works[i].tokens.size() - done[i], room, until_next});
    if (count == 0) continue;
    const bool ends_work = done[i] + count == works[i].tokens.size();
    pass.push_back({&works[i].session->impl_->state, works[i].tokens.subspan(done[i], count),
                    RowsOfPass(works[i].logits, ends_work),
                    RowsOfPass(works[i].mtp_logits, ends_work)});
    index.push_back(i);
    room -= count;
  }
  try {
    const dsv::OpContext context{kernels, pool, precision(),
                                 options.count_operations ? &operations : nullptr};
    const dsv::OperationTimer timer(context, &dsv::OperationCounts::rest_ns);
    std::vector<dsv::WorkLogits> logits = transformer.Forward(context, pass);
    DSV_TRY(CheckDamage(works, index));
    for (size_t p = 0; p < pass.size(); ++p) {
      std::vector<TokenId>& tokens = works[index[p]].session->impl_->tokens;
      tokens.insert(tokens.end(), pass[p].tokens.begin(), pass[p].tokens.end());
      done[index[p]] += pass[p].tokens.size();
      const Work& work = works[index[p]];
      work.session->impl_->KeepState(work.tokens.size() > 1 &&
                                     done[index[p]] == work.tokens.size());
      AppendRows(results[index[p]].logits, logits[p].logits);
      AppendRows(results[index[p]].mtp_logits, logits[p].mtp_logits);
    }
  } catch (const std::bad_alloc&) {
    for (const size_t i : index) {
      works[i].session->impl_->broken = "memory ran out in this session before";
    }
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
  DSV_TRY(CheckRoom(works));
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
  for (size_t i = 0; i < works.size(); ++i) {
    if (!HasNan(results[i].logits) && !HasNan(results[i].mtp_logits)) continue;
    auto error = NanError();
    works[i].session->impl_->broken = error.value().message;  // such a state is not to be saved
    return error;
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
  if (options.memory < 0) {
    return Fail("memory: expected 0 (what there is) or more bytes, found {}", options.memory);
  }
  DSV_ASSIGN(const dsv::Kernels* kernels, dsv::SelectKernels(dsv::ForcedIsa()));
  DSV_ASSIGN(dsv::ModelConfig config, dsv::LoadConfig(directory));
  if (options.context < 0 || options.context > config.max_position_embeddings) {
    return Fail("context: expected 0 (the longest) to {} (max_position_embeddings), found {}",
                config.max_position_embeddings, options.context);
  }
  DSV_ASSIGN(dsv::Checkpoint checkpoint, dsv::Checkpoint::Open(directory));
  DSV_ASSIGN(dsv::ModelWeights weights, dsv::BindWeights(config, checkpoint));
  DSV_TRY(dsv::CheckSelection(config, checkpoint));
  dsv::Transformer transformer(std::move(config), std::move(weights));
  EngineOptions effective = options;
  if (effective.threads == 0) effective.threads = dsv::AvailableThreads();
  auto impl =
      std::make_unique<Impl>(std::move(checkpoint), std::move(transformer), *kernels, effective);
  DSV_TRY(impl->Admit());
  if (!options.store.empty()) {
    const dsv::StoreOptions store{.max_bytes = static_cast<uint64_t>(options.store_bytes),
                                  .read_only = options.store_read_only};
    DSV_ASSIGN(impl->store,
               dsv::StateStore::Open(
                   options.store, store,
                   dsv::StateIdentity(impl->checkpoint, impl->precision(), kernels->name),
                   dsv::BlockLayout(impl->transformer.config(), impl->precision())));
  }
  DSV_ASSIGN(impl->generation, dsv::LoadGenerationConfig(directory));
  for (const int64_t id : impl->generation.eos_token_ids) {
    if (id >= impl->info.vocab_size) {
      return Fail("{}/generation_config.json: eos_token_id: expected ids below {}, found {}",
                  directory, impl->info.vocab_size, id);
    }
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
  DSV_TRY(impl_->CheckMemory(impl_->tail_bytes, "the tail of a session"));
  try {
    return Session(std::make_unique<Session::Impl>(impl_.get(), mtp, impl_->NewState(mtp)));
  } catch (const std::bad_alloc&) {
    return Fail("out of memory for a new session");
  }
}

Result<Session> Engine::OpenSession(const std::string& name, const Progress& progress) const {
  if (impl_->store == nullptr) return Fail("session {}: this engine has no store", name);
  DSV_ASSIGN(Session session, NewSession());
  DSV_ASSIGN(const auto named, impl_->store->FindName(name));
  if (!named) return session;
  if (named->identity != impl_->store->identity()) {
    return Fail("session {}: expected one of {}, found one of {}", name, impl_->store->identity(),
                named->identity);
  }
  DSV_TRY(session.Sync(named->tokens, progress));
  return session;
}

std::vector<std::string> Engine::TakeStoreNotes() const {
  return impl_->store == nullptr ? std::vector<std::string>() : impl_->store->store().TakeNotes();
}

MemoryInfo Engine::memory() const {
  return {.context = impl_->options.context,
          .available = impl_->memory.available,
          .limit = impl_->memory.source,
          .held = *impl_->held,
          .rows = impl_->RowBytes(impl_->options.context),
          .tail = impl_->tail_bytes,
          .scratch = impl_->scratch_bytes,
          .weights = WeightBytes(impl_->checkpoint)};
}

Operations Engine::operations() const {
  const dsv::OperationCounts& counts = impl_->operations;
  const auto seconds = [](int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; };
  int64_t all = 0;
  for (const dsv::OperationTime& time : dsv::kOperationTimes) all += counts.*time.kind;
  return {.linear = counts.linear,
          .attention = counts.attention,
          .index_scan = counts.index_scan,
          .key_bytes = counts.key_bytes,
          .csa_bytes = counts.csa_bytes,
          .hca_bytes = counts.hca_bytes,
          .index_scan_seconds = seconds(counts.index_scan_ns),
          .csa_seconds = seconds(counts.csa_ns),
          .hca_seconds = seconds(counts.hca_ns),
          .seconds = seconds(all)};
}

Result<std::vector<WorkLogits>> Engine::Forward(std::span<const Work> works,
                                                const Progress& progress) const {
  return impl_->Forward(works, progress);
}

}  // namespace dsv4
