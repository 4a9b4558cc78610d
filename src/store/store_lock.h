// Who may use a store: at most one process writes, any number read.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "base/result.h"
#include "store/file_util.h"

namespace dsv {

// Held by the writing process for as long as the object lives.
class StoreLock {
 public:
  // Fails with the holder's process id if there is a writer.
  static Result<StoreLock> Acquire(const std::filesystem::path& directory);

  // Calls `work` while no other process can be reading, and says whether it did: a reader that has
  // verified a block goes on using it, so its bytes must stay as long as any reader is there.
  bool WithoutReaders(const std::function<void()>& work) const;

 private:
  StoreLock(Descriptor writer, Descriptor readers)
      : writer_(std::move(writer)), readers_(std::move(readers)) {}

  Descriptor writer_;
  Descriptor readers_;
};

// Held by a reading process until its last view of a block is gone. Null where no writer has ever
// been able to make the file.
std::shared_ptr<const void> AcquireReaderLock(const std::filesystem::path& directory);

}  // namespace dsv
