// Session and Snapshot of the public header: one timeline, and going back and forth on it.
#include <algorithm>
#include <new>
#include <utility>

#include "base/result.h"
#include "runtime/engine_impl.h"

namespace dsv4 {

using dsv::Fail;

namespace {

constexpr int64_t kSpacing = 512;

int64_t SpacingOf(const EngineOptions& options) {
  const int64_t blocks = (options.chunk + dsv::kBlockTokens - 1) / dsv::kBlockTokens;
  return std::max(kSpacing, blocks * dsv::kBlockTokens);
}

// A shared copy that counts as held while it lives.
dsv::SharedState ShareCopy(const dsv::SessionState& state,
                           const std::shared_ptr<dsv::BlockCount>& held) {
  auto copy = std::make_unique<dsv::SessionState>(state.Copy());
  const int64_t tail = copy->TailBytes();
  dsv::SharedState shared(copy.release(), [held, tail](const dsv::SessionState* dropped) {
    delete dropped;
    *held -= tail;
  });
  *held += tail;
  return shared;
}

}  // namespace

Session::Impl::Impl(Engine::Impl* e, bool with_mtp, dsv::SessionState s)
    : engine(e),
      mtp(with_mtp),
      state(std::move(s)),
      tokens(state.blocks->Tokens()),
      snapshots(SpacingOf(e->options)) {
  *engine->held += engine->tail_bytes;
}

Session::Impl::~Impl() { *engine->held -= engine->tail_bytes; }

dsv::SharedState Session::Impl::Share() const {
  try {
    return ShareCopy(state, engine->held);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void Session::Impl::KeepState(bool prompt_ended) {
  const bool is_due = snapshots.IsDue(state.tokens());
  if (!is_due && !prompt_ended) return;
  // States of the past are a convenience: without room for them, going back takes longer.
  if (!engine->CheckMemory(2 * engine->tail_bytes, "a state of the past")) return;
  dsv::SharedState shared = Share();
  if (shared == nullptr) return;
  engine->Publish(shared);
  if (is_due) {
    snapshots.Add(std::move(shared));
  } else {
    snapshots.AddPromptEnd(std::move(shared));
  }
}

Status Session::Impl::MoveTo(const dsv::SharedState& target) {
  try {
    state = target != nullptr ? target->Copy() : engine->NewState(mtp);
    tokens = state.blocks->Tokens();
  } catch (const std::bad_alloc&) {
    broken = "memory ran out in this session before";
    return Fail("out of memory for a copy of a state of {} tokens",
                target != nullptr ? target->tokens() : 0);
  }
  snapshots.KeepPrefixesOf(*state.blocks);
  broken.clear();
  damaged = false;
  saved = {};
  return {};
}

Snapshot::Snapshot(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

int64_t Snapshot::size() const { return impl_->state->tokens(); }

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

std::span<const TokenId> Session::tokens() const { return impl_->tokens; }

int64_t Session::max_size() const { return impl_->engine->options.context; }

int64_t Session::state_bytes() const { return impl_->state.Bytes(); }

const Tokenizer* Session::tokenizer() const {
  return impl_->engine->tokenizer ? &*impl_->engine->tokenizer : nullptr;
}

const ModelInfo& Session::info() const { return impl_->engine->info; }

Result<std::vector<float>> Session::Append(std::span<const TokenId> tokens,
                                           const Progress& progress) {
  const size_t begin = impl_->tokens.size();
  while (true) {
    const auto rest = tokens.subspan(impl_->tokens.size() - begin);
    const Work work{this, rest, LogitRows::kLast, LogitRows::kNone};
    auto results = impl_->engine->Forward(std::span(&work, 1), progress);
    if (results) return std::move(results->front().logits);
    if (!impl_->damaged) return tl::unexpected(std::move(results.error()));
    DSV_TRY(Sync(std::vector<TokenId>(impl_->tokens)));
  }
}

Result<Session> Session::Branch() const {
  if (!impl_->broken.empty()) return Fail("branch: {}", impl_->broken);
  DSV_TRY(impl_->engine->CheckMemory(impl_->engine->tail_bytes, "the tail of a branch"));
  try {
    auto branch = std::make_unique<Impl>(impl_->engine, impl_->mtp, impl_->state.Copy());
    branch->snapshots = impl_->snapshots;
    branch->saved = impl_->saved;
    branch->saved.has_interim = false;  // that one stays the parent's to drop
    return Session(std::move(branch));
  } catch (const std::bad_alloc&) {
    return Fail("out of memory for a branch of a session of {} tokens", size());
  }
}

Result<Snapshot> Session::TakeSnapshot() const {
  if (!impl_->broken.empty()) return Fail("snapshot: {}", impl_->broken);
  DSV_TRY(impl_->engine->CheckMemory(impl_->engine->tail_bytes, "a snapshot"));
  dsv::SharedState state = impl_->Share();
  if (state == nullptr) return Fail("out of memory for a snapshot of {} tokens", size());
  impl_->engine->Publish(state);
  return Snapshot(std::make_shared<const Snapshot::Impl>(
      Snapshot::Impl{impl_->engine, impl_->mtp, std::move(state)}));
}

Status Session::Restore(const Snapshot& snapshot) {
  if (snapshot.impl_->engine != impl_->engine) {
    return Fail("restore: expected a snapshot of this engine");
  }
  if (snapshot.impl_->mtp != impl_->mtp) {
    return Fail("restore: expected a snapshot of a session {} MTP",
                impl_->mtp ? "with" : "without");
  }
  return impl_->MoveTo(snapshot.impl_->state);
}

Result<int64_t> Session::Truncate(int64_t size) {
  if (size < 0 || size > this->size()) {
    return Fail("size: expected 0 to {} tokens, found {}", this->size(), size);
  }
  const bool is_there = size == this->size() && impl_->broken.empty();
  if (!is_there) DSV_TRY(impl_->MoveTo(impl_->snapshots.Latest(size)));
  return this->size();
}

Result<int64_t> Session::RewindTo(int64_t size, const Progress& progress) {
  const std::vector<TokenId> all = impl_->tokens;
  DSV_TRY(Truncate(size));
  return impl_->Extend(*this, std::span(all).first(static_cast<size_t>(size)), progress);
}

Result<SyncReport> Session::Sync(std::span<const TokenId> tokens, const Progress& progress) {
  const std::vector<TokenId> target(tokens.begin(), tokens.end());  // may be this session's own
  while (true) {
    auto report = impl_->Reach(*this, target, progress);
    if (report || !impl_->damaged) return report;
    // What the pass found damaged is not taken again.
  }
}

Result<SyncReport> Session::Impl::Reach(Session& session, std::span<const TokenId> target,
                                        const Progress& progress) {
  const auto mismatch = std::mismatch(target.begin(), target.end(), tokens.begin(), tokens.end());
  const int64_t shared = mismatch.first - target.begin();
  const bool goes_on = shared == std::ssize(tokens) && broken.empty();
  dsv::SharedState base = goes_on ? nullptr : snapshots.Latest(shared);
  SyncReport report{.kept = goes_on ? shared : base != nullptr ? base->tokens() : 0};
  if (dsv::SharedState other = engine->FindPublished(target, mtp, report.kept)) {
    report.kept = other->tokens();
    base = std::move(other);
  }
  DSV_ASSIGN(dsv::SharedState stored, LoadStored(target, report.kept));
  if (stored != nullptr) {
    report = {.restored = stored->tokens()};
    base = std::move(stored);
  }
  if (!goes_on || base != nullptr) DSV_TRY(MoveTo(base));
  DSV_ASSIGN(report.computed, Extend(session, target, progress));
  return report;
}

Result<dsv::SharedState> Session::Impl::LoadStored(std::span<const TokenId> target,
                                                   int64_t size) const {
  if (engine->store == nullptr || mtp) return dsv::SharedState();
  try {
    dsv::SessionState loaded;
    DSV_ASSIGN(const bool found,
               engine->store->Load(
                   target, size, [this] { return engine->NewState(mtp); }, loaded));
    if (!found) return dsv::SharedState();
    dsv::SharedState shared = ShareCopy(loaded, engine->held);
    engine->Publish(shared);
    return shared;
  } catch (const std::bad_alloc&) {
    return Fail("out of memory for a state from {}", engine->options.store);
  }
}

Status Session::Impl::CheckSavable() const {
  if (engine->store == nullptr) return Fail("save: this engine has no store");
  if (mtp) return Fail("save: expected a session without MTP");
  if (!broken.empty()) return Fail("save: {}", broken);
  return {};
}

Status Session::Save(bool interim) {
  DSV_TRY(impl_->CheckSavable());
  return impl_->engine->store->Save(impl_->state, interim, impl_->saved);
}

Status Session::SaveAs(const std::string& name, bool interim) {
  DSV_TRY(impl_->CheckSavable());
  return impl_->engine->store->SaveAs(name, impl_->state, impl_->tokens, interim, impl_->saved);
}

Result<int64_t> Session::Impl::Extend(Session& session, std::span<const TokenId> target,
                                      const Progress& progress) {
  const auto rest = target.subspan(tokens.size());
  if (rest.empty()) return 0;
  const Work work{&session, rest, LogitRows::kNone, LogitRows::kNone};
  DSV_TRY(engine->Forward(std::span(&work, 1), progress));
  return std::ssize(rest);
}

}  // namespace dsv4
