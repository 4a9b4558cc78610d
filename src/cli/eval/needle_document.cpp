#include "cli/eval/needle_document.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>

#include "base/utf8.h"

namespace dsv::cli {
namespace {

// Of its part of the document that a fact keeps clear at either end, because it moves to the end of
// a sentence.
constexpr double kMargin = 0.1;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// A fact may be put before text[at]: a space after a sentence. Four small letters before the full
// stop tell a sentence from "Mrs." and "Capt.".
bool IsSentenceEnd(std::string_view text, size_t at) {
  if (at < 5 || at >= text.size() || text[at] != ' ') return false;
  const std::string_view word = text.substr(at - 5, 4);
  return std::string_view(".!?").find(text[at - 1]) != std::string_view::npos &&
         std::all_of(word.begin(), word.end(), IsLower);
}

// The nearest place for a fact to `from`, else the next character.
size_t InsertionPoint(std::string_view text, size_t from) {
  for (size_t distance = 0; distance < text.size(); ++distance) {
    if (IsSentenceEnd(text, from + distance)) return from + distance;
    if (distance <= from && IsSentenceEnd(text, from - distance)) return from - distance;
  }
  while (from < text.size() && IsContinuation(text[from])) ++from;
  return from;
}

// Where text that was cut between any two tokens ends well: after a word, or where white space is
// rare after a whole character.
size_t EndOfLastWord(std::string_view text) {
  constexpr size_t kLongestWord = 64;
  size_t end = text.size();
  while (end > 0 && text.size() - end < kLongestWord && !IsSpace(text[end - 1])) --end;
  if (end == 0 || !IsSpace(text[end - 1])) return FindInvalidUtf8(text).value_or(text.size());
  while (end > 0 && IsSpace(text[end - 1])) --end;
  return end;
}

// Uniform numbers that are the same with every standard library.
class Random {
 public:
  Random(uint64_t seed, int64_t tokens) {
    std::seed_seq sequence{seed & UINT32_MAX, seed >> 32, static_cast<uint64_t>(tokens)};
    engine_.seed(sequence);
  }
  size_t Below(size_t bound) { return engine_() % bound; }
  double Fraction() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

  template <class T>
  const T& Choice(const std::vector<T>& list) {
    return list[Below(list.size())];
  }

 private:
  std::mt19937_64 engine_;
};

// Draws keys and values, none of them twice.
class FactSource {
 public:
  FactSource(const NeedleTask& task, Random& random) : task_(task), random_(random) {}

  using Key = std::vector<size_t>;  // an index into each list

  Result<Key> NewKey() {
    return Draw([&] {
      Key key;
      for (const auto& list : task_.keys) key.push_back(random_.Below(list.size()));
      return key;
    });
  }

  Result<Key> SimilarKey(const Key& other) {
    return Draw([&] {
      Key key = other;
      const size_t part = random_.Below(key.size());
      key[part] = random_.Below(task_.keys[part].size());
      return key;
    });
  }

  Result<Needle> NeedleOf(const Key& key) {
    Needle needle;
    for (size_t i = 0; i < key.size(); ++i) {
      needle.key += (i == 0 ? "" : " ") + task_.keys[i][key[i]];
    }
    for (int64_t attempt = 0; attempt < kAttempts; ++attempt) {
      needle.value.clear();
      for (int64_t i = 0; i < task_.value_length; ++i) {
        needle.value += task_.alphabet[random_.Below(task_.alphabet.size())];
      }
      if (values_.insert(needle.value).second) return needle;
    }
    return Fail("{}: value: expected more values, found {} for all facts", task_.name,
                values_.size());
  }

 private:
  static constexpr int64_t kAttempts = 10000;

  template <class Propose>
  Result<Key> Draw(Propose&& propose) {
    for (int64_t attempt = 0; attempt < kAttempts; ++attempt) {
      Key key = propose();
      if (keys_.insert(key).second) return key;
    }
    return Fail("{}: keys: expected more words, found {} keys for all facts", task_.name,
                keys_.size());
  }

  const NeedleTask& task_;
  Random& random_;
  std::set<Key> keys_;
  std::set<std::string> values_;
};

struct Insertion {
  std::string fact;
  Needle* needle = nullptr;
  size_t at = 0;  // in the haystack's text
};

size_t ByteAtDepth(const Haystack::Piece& piece, double depth) {
  const auto token = static_cast<size_t>(depth * static_cast<double>(piece.ends.size()));
  return static_cast<size_t>(piece.ends[std::min(token, piece.ends.size() - 1)]);
}

Result<std::vector<Insertion>> DrawFacts(const NeedleTask& task, const NeedleOptions& options,
                                         Random& random, NeedleDocument& document) {
  FactSource source(task, random);
  std::vector<FactSource::Key> keys;
  for (int64_t i = 0; i < options.facts; ++i) {
    DSV_ASSIGN(keys.emplace_back(), source.NewKey());
    DSV_ASSIGN(document.facts.emplace_back(), source.NeedleOf(keys.back()));
    document.facts.back().depth =
        (static_cast<double>(i) + kMargin + (1 - 2 * kMargin) * random.Fraction()) /
        static_cast<double>(options.facts);
    document.questions.push_back(
        ReplaceAll(random.Choice(task.questions), "{key}", document.facts.back().key));
  }
  for (int64_t i = 0; i < options.distractors; ++i) {
    DSV_ASSIGN(const FactSource::Key key,
               source.SimilarKey(keys[static_cast<size_t>(i % options.facts)]));
    DSV_ASSIGN(document.distractors.emplace_back(), source.NeedleOf(key));
    document.distractors.back().depth = random.Fraction();
  }
  std::vector<Insertion> insertions;
  for (std::vector<Needle>* list : {&document.facts, &document.distractors}) {
    for (Needle& needle : *list) {
      const std::string fact = ReplaceAll(random.Choice(task.facts), "{key}", needle.key);
      insertions.push_back({ReplaceAll(fact, "{value}", needle.value), &needle, 0});
    }
  }
  return insertions;
}

// Makes the text, and depths of places out of depths that were wanted.
void Insert(const Haystack::Piece& piece, std::vector<Insertion>& insertions,
            NeedleDocument& document) {
  for (Insertion& insertion : insertions) {
    insertion.at = InsertionPoint(piece.text, ByteAtDepth(piece, insertion.needle->depth));
  }
  std::stable_sort(insertions.begin(), insertions.end(),
                   [](const Insertion& a, const Insertion& b) { return a.at < b.at; });
  size_t done = 0;
  for (const Insertion& insertion : insertions) {
    document.text.append(piece.text, done, insertion.at - done);
    done = insertion.at;
    insertion.needle->depth = static_cast<double>(document.text.size());
    document.text += insertion.fact;
  }
  document.text.append(piece.text, done);
  for (const Insertion& insertion : insertions) {
    insertion.needle->depth /= static_cast<double>(document.text.size());
  }
}

}  // namespace

Result<Haystack> Haystack::Create(const dsv4::Tokenizer& tokenizer,
                                  std::vector<std::string> texts) {
  Haystack haystack;
  for (std::string& text : texts) {
    while (!text.empty() && IsSpace(text.back())) text.pop_back();
    haystack.text_ += text + "\n\n";
  }
  DSV_ASSIGN(const std::vector<dsv4::TokenId> tokens,
             tokenizer.Encode(haystack.text_, /*match_added=*/false));
  const int64_t first_text = texts.empty() ? 0 : std::ssize(texts.front());
  if (first_text == 0) return Fail("haystack: expected text, found none");
  int64_t end = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view before =
        std::string_view(haystack.text_).substr(0, static_cast<size_t>(end));
    if (end < first_text && (end == 0 || before.ends_with("\n\n"))) {
      haystack.paragraphs_.push_back(static_cast<int64_t>(i));
    }
    DSV_ASSIGN(const std::string bytes, tokenizer.Decode(std::span(&tokens[i], 1)));
    end += std::ssize(bytes);
    haystack.ends_.push_back(end);
  }
  if (end != std::ssize(haystack.text_)) {
    return Fail("haystack: expected {} bytes back from the tokenizer, found {}",
                haystack.text_.size(), end);
  }
  return haystack;
}

Haystack::Piece Haystack::Cut(double at, int64_t tokens) const {
  const auto index = static_cast<size_t>(at * static_cast<double>(paragraphs_.size()));
  int64_t token = paragraphs_[std::min(index, paragraphs_.size() - 1)];
  Piece piece;
  for (int64_t i = 0; i < tokens; ++i, ++token) {
    token %= this->tokens();
    const int64_t begin = token == 0 ? 0 : ends_[static_cast<size_t>(token - 1)];
    const int64_t count = ends_[static_cast<size_t>(token)] - begin;
    piece.text.append(text_, static_cast<size_t>(begin), static_cast<size_t>(count));
    piece.ends.push_back(std::ssize(piece.text));
  }
  piece.text.resize(EndOfLastWord(piece.text));
  while (!piece.ends.empty() && piece.ends.back() > std::ssize(piece.text)) piece.ends.pop_back();
  return piece;
}

Result<NeedleDocument> BuildDocument(const NeedleTask& task, const Haystack& haystack,
                                     const dsv4::Tokenizer& tokenizer,
                                     const NeedleOptions& options) {
  Random random(options.seed, options.tokens);
  NeedleDocument document;
  DSV_ASSIGN(std::vector<Insertion> insertions, DrawFacts(task, options, random, document));
  int64_t room = options.tokens;
  for (const Insertion& insertion : insertions) {
    DSV_ASSIGN(const auto tokens, tokenizer.Encode(insertion.fact, /*match_added=*/false));
    room -= std::ssize(tokens);
  }
  const Haystack::Piece piece = haystack.Cut(random.Fraction(), std::max<int64_t>(room, 0));
  if (piece.ends.empty()) {
    return Fail("length: expected room for text beside {} facts and distractors, found {} tokens",
                insertions.size(), options.tokens);
  }
  Insert(piece, insertions, document);
  return document;
}

}  // namespace dsv::cli
