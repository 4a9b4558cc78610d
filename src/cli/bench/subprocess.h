// Running another program for what it prints.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace dsv::cli {

// The standard output of a program that ends with 0. `words` are its path, or a name to look up in
// PATH, and its arguments; its standard error is that of this program.
Result<std::string> OutputOf(const std::vector<std::string>& words);

}  // namespace dsv::cli
