// The states of one engine's sessions in a prefix store on disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cache/row_blocks.h"
#include "cache/session_state.h"
#include "io/checkpoint.h"
#include "store/prefix_store.h"

namespace dsv {

// Names everything that a state depends on besides its tokens. Weights are named by what their
// files say of themselves, time of change included: reading all of them would take longer than
// starting does.
std::string StateIdentity(const Checkpoint& checkpoint, Precision precision, const char* isa);

// Which tokens of a session are in the store, so that saving it again starts there.
struct SavedPrefix {
  int64_t blocks = 0;
  ChainKey key{};                  // of the last one
  std::vector<int32_t> interim{};  // the rest of an interim tail after it
  bool has_interim = false;
};

class StateStore {
 public:
  // `identity` names everything that states depend on besides their tokens.
  static Result<std::unique_ptr<StateStore>> Open(const std::string& directory,
                                                  const StoreOptions& options,
                                                  const std::string& identity,
                                                  const BlockLayout& layout);

  // Makes the state durable: writes the blocks that the store does not have, and its tail. An
  // interim tail is dropped when the same session is saved again.
  Status Save(const SessionState& state, bool is_interim, SavedPrefix& saved);
  // The same, and gives it a name.
  Status SaveAs(const std::string& name, const SessionState& state, std::span<const int32_t> tokens,
                bool is_interim, SavedPrefix& saved);

  // The longest state, longer than `size`, that is the beginning of `tokens`, put into `empty`.
  // What attention reads as a whole is verified now, the rest before its first use. False if the
  // store has none; damaged blocks count as absent.
  Result<bool> Load(std::span<const int32_t> tokens, int64_t size,
                    const std::function<SessionState()>& empty, SessionState& loaded);

  Result<std::optional<NamedSession>> FindName(const std::string& name) const;
  const std::string& identity() const { return identity_; }
  PrefixStore& store() { return *store_; }
  // Parts that turned out to be damaged while they were read.
  int64_t damage() const { return *damage_; }

 private:
  StateStore(std::unique_ptr<PrefixStore> store, std::string identity, BlockLayout layout);

  Status PutBlocks(const SessionState& state, SavedPrefix& saved);
  // Puts the blocks into a new state, up to the first that is damaged or gone; says how many.
  Result<int64_t> ShareBlocks(std::span<const ChainKey> keys, std::span<const int32_t> tokens,
                              SessionState& state);

  std::unique_ptr<PrefixStore> store_;
  std::string identity_;
  BlockLayout layout_;
  ChainKey root_;
  std::shared_ptr<std::atomic<int64_t>> damage_;
};

}  // namespace dsv
