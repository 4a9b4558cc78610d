// What is behind Engine, Session and Snapshot of the public header.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "checkpoint/config.h"
#include "dsv4/dsv4.h"
#include "io/checkpoint.h"
#include "kernels/kernels.h"
#include "model/transformer.h"
#include "runtime/snapshot_list.h"
#include "runtime/state_store.h"

namespace dsv4 {

using Progress = std::function<bool(int64_t, int64_t)>;

struct Engine::Impl {
  Impl(dsv::Checkpoint c, dsv::Transformer t, const dsv::Kernels& k, const EngineOptions& o);

  dsv::Precision precision() const {
    return options.precision == Precision::kReference ? dsv::Precision::kReference
                                                      : dsv::Precision::kF32;
  }

  Result<std::vector<WorkLogits>> Forward(std::span<const Work> works, const Progress& progress);

  dsv::SessionState NewState(bool mtp) const;
  // Remembers where a state is, so that Sync of any session finds it while it lives.
  void Publish(const dsv::SharedState& state);
  // The longest published state, longer than `size`, that is the beginning of `tokens`.
  dsv::SharedState FindPublished(std::span<const TokenId> tokens, bool mtp, int64_t size);

  // Bytes of rows that a session of `tokens` tokens allocates.
  int64_t RowBytes(int64_t tokens) const;
  Status Admit();
  // Fails, with the numbers, if `bytes` more rows do not fit beside what is held.
  Status CheckMemory(int64_t bytes, const std::string& what) const;

  dsv::Checkpoint checkpoint;  // owns the bytes that the transformer reads
  dsv::Transformer transformer;
  const dsv::Kernels& kernels;
  EngineOptions options;
  ModelInfo info;
  std::optional<Tokenizer> tokenizer;
  dsv::GenerationConfig generation;
  dsv::ThreadPool pool;
  std::mutex forward_mutex;  // one batch at a time uses the pool
  dsv::OperationCounts operations;

  int64_t block_bytes = 0;
  int64_t tail_bytes = 0;                 // the most that one state has besides its blocks
  int64_t scratch_bytes = 0;              // of one pass
  dsv::MemoryLimit memory;                // for all sessions and scratch together
  std::shared_ptr<dsv::BlockCount> held;  // bytes of all blocks and tails of sessions and snapshots

  std::unique_ptr<dsv::StateStore> store;  // null: none
  int64_t damage_seen = 0;                 // of the store

  std::mutex published_mutex;
  std::vector<std::weak_ptr<const dsv::SessionState>> published;

 private:
  Status CheckWork(std::span<const Work> works, size_t index) const;
  Status CheckRoom(std::span<const Work> works) const;
  // Fails if a pass has read damaged rows; its sessions are then broken.
  Status CheckDamage(std::span<const Work> works, std::span<const size_t> in_pass);
  Status RunPass(std::span<const Work> works, std::vector<size_t>& done,
                 std::vector<WorkLogits>& results);
  tl::unexpected<Error> NanError();
};

struct Session::Impl {
  Impl(Engine::Impl* e, bool with_mtp, dsv::SessionState s);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // A shared copy of the state; null if memory ran out.
  dsv::SharedState Share() const;
  // Makes `target`, or the empty state, the state. States of the past that still are stay.
  Status MoveTo(const dsv::SharedState& target);
  // Session::Sync, once: may find rows of the store damaged on the way.
  Result<SyncReport> Reach(Session& session, std::span<const TokenId> target,
                           const Progress& progress);
  // Feeds what `target` has after the tokens of the session; says how many.
  Result<int64_t> Extend(Session& session, std::span<const TokenId> target,
                         const Progress& progress);
  // The longest state in the store, longer than `size`, that is the beginning of `target`, or null.
  Result<dsv::SharedState> LoadStored(std::span<const TokenId> target, int64_t size) const;
  Status CheckSavable() const;
  // After a pass: keeps the state if one is due, or if a prompt ended here.
  void KeepState(bool prompt_ended);

  Engine::Impl* engine;
  bool mtp;
  dsv::SessionState state;
  std::vector<TokenId> tokens;
  dsv::SnapshotList snapshots;
  dsv::SavedPrefix saved;
  std::string broken;    // why the state means nothing; empty: it is good
  bool damaged = false;  // because the store had damaged rows, which Sync computes anew
};

struct Snapshot::Impl {
  const Engine::Impl* engine;
  bool mtp;
  dsv::SharedState state;
};

}  // namespace dsv4
