// Tokenizer, HasChatFormat and TextStream of the public header.
#include <algorithm>
#include <array>
#include <utility>

#include "chat/literals.h"
#include "runtime/tokenizer_impl.h"

namespace dsv4 {

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::Load(const std::string& path) {
  auto tokenizer = dsv::Tokenizer::Load(path);
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  return Tokenizer(std::make_unique<const Impl>(*std::move(tokenizer)));
}

Result<std::vector<TokenId>> Tokenizer::Encode(std::string_view utf8, bool match_added) const {
  return impl_->tokenizer.Encode(utf8, {.match_added = match_added});
}

Result<std::string> Tokenizer::Decode(std::span<const TokenId> tokens, bool skip_special) const {
  return impl_->tokenizer.Decode(tokens, {.skip_special = skip_special});
}

std::optional<TokenId> Tokenizer::FindAdded(std::string_view literal) const {
  return impl_->tokenizer.FindAdded(literal);
}

bool Tokenizer::IsAdded(TokenId token) const { return impl_->tokenizer.IsAdded(token); }

bool HasChatFormat(const Tokenizer& tokenizer) {
  constexpr std::array kNeeded{dsv::chat::kBos,       dsv::chat::kEos,
                               dsv::chat::kUserToken, dsv::chat::kAssistantToken,
                               dsv::chat::kThinkOpen, dsv::chat::kThinkClose};
  return std::all_of(kNeeded.begin(), kNeeded.end(), [&](std::string_view literal) {
    return tokenizer.FindAdded(literal).has_value();
  });
}

struct TextStream::Impl {
  dsv::StreamDecoder decoder;
  std::vector<std::string> stop_strings;
  std::string held;  // text that may be the beginning of a stop string
  bool stopped = false;

  // Moves what is certain out of `held`. `last` releases everything. Of several stop strings the
  // one that is complete first counts, as if the text came byte by byte.
  std::string Release(bool last) {
    size_t stop = std::string::npos;
    size_t stop_end = std::string::npos;
    for (const std::string& s : stop_strings) {
      const size_t begin = held.find(s);
      if (begin == std::string::npos || begin + s.size() > stop_end) continue;
      stop = begin + s.size() < stop_end ? begin : std::min(stop, begin);
      stop_end = begin + s.size();
    }
    if (stop != std::string::npos) {
      stopped = true;
      return held.substr(0, stop);
    }
    size_t keep = 0;
    for (const std::string& s : stop_strings) {
      if (last) break;
      for (size_t n = std::min(s.size() - 1, held.size()); n > keep; --n) {
        if (held.ends_with(std::string_view(s).substr(0, n))) keep = n;
      }
    }
    std::string certain = held.substr(0, held.size() - keep);
    held.erase(0, certain.size());
    return certain;
  }
};

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings)
    : impl_(new Impl{
          dsv::StreamDecoder(tokenizer.impl_->tokenizer), std::move(stop_strings), {}, false}) {
  std::erase(impl_->stop_strings, "");
}
TextStream::TextStream(TextStream&&) noexcept = default;
TextStream::~TextStream() = default;

bool TextStream::stopped() const { return impl_->stopped; }

Result<std::string> TextStream::Feed(TokenId token) {
  if (impl_->stopped) return std::string();
  auto text = impl_->decoder.Feed(token);
  if (!text) return tl::unexpected(text.error());
  impl_->held += *text;
  return impl_->Release(/*last=*/false);
}

std::string TextStream::Finish() {
  if (impl_->stopped) return {};
  impl_->held += impl_->decoder.Finish();
  return impl_->Release(/*last=*/true);
}

}  // namespace dsv4
