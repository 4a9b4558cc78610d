// The hidden part of the public Tokenizer, shared by the files of this folder.
#pragma once

#include <utility>

#include "dsv4/dsv4.h"
#include "tokenizer/tokenizer.h"

struct dsv4::Tokenizer::Impl {
  explicit Impl(dsv::Tokenizer t) : tokenizer(std::move(t)) {}
  dsv::Tokenizer tokenizer;
};
