// What a session remembers besides its full blocks, as bytes (spec 6.7): the block that is filling,
// window rows, open groups, the state of MTP. Little-endian; the store tells versions apart.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/result.h"
#include "cache/session_state.h"

namespace dsv {

std::vector<std::byte> EncodeTail(const SessionState& state);

// Completes `state`, which is empty but for the full blocks of the session that was saved; `rest`
// are its tokens after them. Fails, and leaves `state` unusable, if the bytes do not fit it.
Status DecodeTail(std::span<const std::byte> bytes, std::span<const int32_t> rest,
                  SessionState& state);

}  // namespace dsv
