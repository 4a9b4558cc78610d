#include "runtime/state_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "cache/tail_codec.h"

namespace dsv {
namespace {

using Bytes = std::span<const std::byte>;

std::vector<Bytes> PartsOf(const BlockLayout& layout, const std::byte* rows) {
  std::vector<Bytes> parts;
  for (size_t i = 0; i + 1 < layout.parts().size(); ++i) {
    const int64_t begin = layout.parts()[i];
    parts.emplace_back(rows + begin, static_cast<size_t>(layout.parts()[i + 1] - begin));
  }
  return parts;
}

// The chain of the whole blocks of `tokens`, as far as the store has it: it never has a block
// without those before it.
std::vector<ChainKey> StoredChain(const PrefixStore& store, const ChainKey& root,
                                  std::span<const int32_t> tokens) {
  std::vector<ChainKey> keys;
  ChainKey key = root;
  for (; std::ssize(tokens) >= kBlockTokens; tokens = tokens.subspan(kBlockTokens)) {
    key = NextKey(key, tokens.first(kBlockTokens));
    keys.push_back(key);
  }
  const auto end = std::partition_point(
      keys.begin(), keys.end(), [&](const ChainKey& stored) { return store.Contains(stored); });
  keys.erase(end, keys.end());
  return keys;
}

}  // namespace

std::string StateIdentity(const Checkpoint& checkpoint, Precision precision, const char* isa) {
  std::string weights;
  for (const SafetensorsFile& shard : checkpoint.shards()) {
    std::error_code error;
    const auto time = std::filesystem::last_write_time(shard.path(), error);
    weights += fmt::format("{} {} {}\n", shard.path().filename().string(),
                           std::filesystem::file_size(shard.path(), error),
                           time.time_since_epoch().count());
  }
  checkpoint.ForEach([&](const std::string& name, const TensorView& view, const auto&) {
    weights += fmt::format("{} {} {}\n", name, DTypeName(view.dtype), view.Bytes());
  });
  weights += ReadFile(checkpoint.directory() / "config.json").value_or("");
  return fmt::format("model {} {}, precision {}, {}, rows 2",
                     std::filesystem::absolute(checkpoint.directory()).filename().string(),
                     Hex(RootKey(weights)).substr(0, 16),
                     precision == Precision::kF32 ? "f32" : "reference", isa);
}

StateStore::StateStore(std::unique_ptr<PrefixStore> store, std::string identity, BlockLayout layout)
    : store_(std::move(store)),
      identity_(std::move(identity)),
      layout_(std::move(layout)),
      root_(RootKey(identity_)),
      damage_(std::make_shared<std::atomic<int64_t>>(0)) {}

Result<std::unique_ptr<StateStore>> StateStore::Open(const std::string& directory,
                                                     const StoreOptions& options,
                                                     const std::string& identity,
                                                     const BlockLayout& layout) {
  DSV_ASSIGN(std::unique_ptr<PrefixStore> store, PrefixStore::Open(directory, options));
  if (!options.read_only) DSV_TRY(store->AddRoot(identity));
  return std::unique_ptr<StateStore>(new StateStore(std::move(store), identity, layout));
}

Status StateStore::PutBlocks(const SessionState& state, SavedPrefix& saved) {
  const auto& full = state.blocks->full();
  if (saved.blocks == 0 || saved.blocks > std::ssize(full)) {
    saved = {.blocks = 0, .key = root_};
    DSV_TRY(store_->AddRoot(identity_));  // again: a full disk may have undone it
  }
  for (int64_t i = saved.blocks; i < std::ssize(full); ++i) {
    const RowBlock& block = *full[static_cast<size_t>(i)];
    const ChainKey key = NextKey(saved.key, block.tokens);
    const std::vector<Bytes> parts = PartsOf(layout_, block.rows);
    // What came from the store and has been dropped since does not go back unseen.
    if (block.verify && !store_->Contains(key)) {
      for (size_t part = 0; part < parts.size(); ++part) {
        if (!block.Holds(part)) {
          return Fail("{}: rows of this session are damaged", store_->directory().string());
        }
      }
    }
    DSV_ASSIGN(const PutOutcome outcome, store_->Put(saved.key, block.tokens, parts));
    if (outcome == PutOutcome::kNoRoom) {
      return Fail("{}: the cap is reached and nothing can be evicted",
                  store_->directory().string());
    }
    if (outcome == PutOutcome::kNoParent) {
      return Fail("{}: the beginning of the session is gone", store_->directory().string());
    }
    saved.blocks = i + 1;
    saved.key = key;
  }
  return {};
}

Status StateStore::Save(const SessionState& state, bool is_interim, SavedPrefix& saved) {
  const SavedPrefix before = saved;
  if (const Status put = PutBlocks(state, saved); !put) {
    // What was saved before may have been evicted since.
    saved = {};
    DSV_TRY(PutBlocks(state, saved));
  }
  const std::vector<std::byte> tail = EncodeTail(state);
  const std::array<Bytes, 1> parts{tail};
  DSV_ASSIGN(const PutOutcome outcome, store_->PutTail(saved.key, state.blocks->rest(), parts));
  if (outcome == PutOutcome::kNoRoom || outcome == PutOutcome::kNoParent) {
    return Fail("{}: the cap leaves no room for the state of a session of {} tokens",
                store_->directory().string(), state.tokens());
  }
  const bool is_same = before.blocks == saved.blocks &&
                       std::equal(before.interim.begin(), before.interim.end(),
                                  state.blocks->rest().begin(), state.blocks->rest().end());
  if (before.has_interim && !is_same) DSV_TRY(store_->DropTail(before.key, before.interim));
  saved.has_interim = is_interim && outcome == PutOutcome::kWritten;
  saved.interim.assign(state.blocks->rest().begin(), state.blocks->rest().end());
  return {};
}

Status StateStore::SaveAs(const std::string& name, const SessionState& state,
                          std::span<const int32_t> tokens, bool is_interim, SavedPrefix& saved) {
  DSV_TRY(Save(state, is_interim, saved));
  return store_->PutName({.name = name,
                          .identity = identity_,
                          .chain = saved.key,
                          .position = state.tokens(),
                          .tokens = {tokens.begin(), tokens.end()}});
}

Result<std::optional<NamedSession>> StateStore::FindName(const std::string& name) const {
  return store_->GetName(name);
}

Result<int64_t> StateStore::ShareBlocks(std::span<const ChainKey> keys,
                                        std::span<const int32_t> tokens, SessionState& state) {
  std::vector<std::shared_ptr<const StoredBlock>> views;
  for (const ChainKey& key : keys) {
    DSV_ASSIGN(std::optional<StoredBlock> stored, store_->Get(key));
    if (!stored) break;
    if (stored->part_count() + 1 != layout_.parts().size()) {
      store_->MarkDamaged(key, "it has another number of parts");
      break;
    }
    stored->Prefetch(0);
    views.push_back(std::make_shared<const StoredBlock>(*std::move(stored)));
  }
  for (size_t i = 0; i < views.size(); ++i) {
    if (!views[i]->Verify(0)) {
      store_->MarkDamaged(keys[i], "its checksum is wrong");
      break;
    }
    auto block = std::make_unique<RowBlock>();
    std::copy_n(tokens.begin() + static_cast<ptrdiff_t>(i) * kBlockTokens, kBlockTokens,
                block->tokens.begin());
    block->rows = const_cast<std::byte*>(views[i]->part(0).data());
    block->memory = views[i];
    block->verify = [view = views[i], store = store_.get(), key = keys[i],
                     damage = damage_](size_t part) {
      if (part == 0 || view->Verify(part)) return true;
      store->MarkDamaged(key, "its checksum is wrong");
      ++*damage;
      return false;
    };
    state.blocks->Share(std::move(block));
  }
  return std::ssize(state.blocks->full());
}

Result<bool> StateStore::Load(std::span<const int32_t> tokens, int64_t size,
                              const std::function<SessionState()>& empty, SessionState& loaded) {
  std::vector<ChainKey> keys = StoredChain(*store_, root_, tokens);
  while (true) {
    const auto following = tokens.subspan(keys.size() * static_cast<size_t>(kBlockTokens));
    const ChainKey& parent = keys.empty() ? root_ : keys.back();
    if (std::ssize(tokens) - std::ssize(following) + kBlockTokens <= size) return false;
    DSV_ASSIGN(const std::optional<StoredTail> tail, store_->FindTail(parent, following));
    if (tail && tail->position > size) {
      SessionState state = empty();
      DSV_ASSIGN(const int64_t whole, ShareBlocks(keys, tokens, state));
      if (whole < std::ssize(keys)) {
        keys.resize(static_cast<size_t>(whole));
        continue;
      }
      if (DecodeTail(tail->block.part(0), tail->rest, state)) {
        loaded = std::move(state);
        return true;
      }
    }
    if (keys.empty()) return false;
    keys.pop_back();
  }
}

}  // namespace dsv
