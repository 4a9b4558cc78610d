// Result<T>: a value, or one line that says what was wrong.
//
// Everything that can fail because of the outside world (a file, a request, a flag, a token id)
// returns a Result. The message names the thing, what was expected and what was found, and fits on
// one line. The library never throws, prints, or exits.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace dsv4 {

struct Error {
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

// Success without a value.
using Status = Result<void>;

}  // namespace dsv4
