// Text from files and standard input, checked to be UTF-8.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {

// Fails with the name and the byte where the text is not UTF-8.
Result<std::string> ReadTextFile(const std::string& path);
Result<std::string> ReadStandardInput();
Status CheckTextUtf8(const std::string& text, const std::string& source);

// Whether standard input, read to its end, could be read.
Status CheckStandardInput();

// Adds what a user says to a conversation: to the turn that is open, after a blank line, or as a
// new one.
void AddUserText(std::vector<dsv4::Message>& messages, const std::string& text);

// Without the line feeds at the end, which editors and echo add.
std::string TrimEnd(std::string text);

}  // namespace dsv::cli
