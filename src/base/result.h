// The library-wide error type and the macros that pass an error on.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "dsv4/result.h"

namespace dsv {

using dsv4::Error;
using dsv4::Result;
using dsv4::Status;

// Control characters, which names from a file may contain, as \xNN.
std::string OneLine(std::string_view text);

// Builds the error side of any Result from a format string; the message is made one line.
template <class... Args>
[[nodiscard]] tl::unexpected<Error> Fail(fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{OneLine(fmt::format(format, std::forward<Args>(args)...))});
}

}  // namespace dsv

#define DSV_CONCAT_INNER(a, b) a##b
#define DSV_CONCAT(a, b) DSV_CONCAT_INNER(a, b)

// Returns the error of a Result from the enclosing function.
#define DSV_TRY(expression)                                                   \
  do {                                                                        \
    if (auto dsv_try_result = (expression); !dsv_try_result)                  \
      return tl::unexpected<::dsv::Error>(std::move(dsv_try_result).error()); \
  } while (false)

// Declares `variable` as the value of a Result, or returns its error: DSV_ASSIGN(auto x, F());
#define DSV_ASSIGN(variable, expression) \
  DSV_ASSIGN_INNER(DSV_CONCAT(dsv_assign_, __LINE__), variable, expression)
#define DSV_ASSIGN_INNER(temporary, variable, expression)                            \
  auto temporary = (expression);                                                     \
  if (!temporary) return tl::unexpected<::dsv::Error>(std::move(temporary).error()); \
  variable = *std::move(temporary)
