#include <gtest/gtest.h>

#include <algorithm>

#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

using Tokens = std::vector<TokenId>;

class ChatPromptTest : public testing::Test {
 protected:
  ChatPromptTest()
      : tokenizer_(*Tokenizer::Load(DSV_TEST_DATA "/tokenizer/small_tokenizer.json")) {}

  Tokens Encode(std::string_view text) const { return *tokenizer_.Encode(text, false); }
  TokenId Control(std::string_view literal) const { return *tokenizer_.FindAdded(literal); }

  // Lists of tokens, one after another.
  static Tokens Join(std::initializer_list<Tokens> parts) {
    Tokens all;
    for (const Tokens& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  }

  ChatPrompt Render(std::vector<Message> messages, const Tokens& held = {},
                    const ChatOptions& options = {}) const {
    auto prompt = RenderChat(tokenizer_, messages, options, held);
    EXPECT_TRUE(prompt) << prompt.error().message;
    return *std::move(prompt);
  }

  static Message User(std::string content) { return {.role = Role::kUser, .content = content}; }
  static Message Assistant(std::string content, std::string reasoning = "") {
    return {.role = Role::kAssistant, .content = content, .reasoning = reasoning};
  }

  Tokenizer tokenizer_;
  TokenId bos_ = 0;
  TokenId eos_ = 1;
  TokenId user_ = Control("<\uFF5CUser\uFF5C>");
  TokenId assistant_ = Control("<\uFF5CAssistant\uFF5C>");
  TokenId think_ = Control("<think>");
  TokenId answer_ = Control("</think>");
};

TEST_F(ChatPromptTest, RendersTheFormatOfTheModel) {
  EXPECT_TRUE(HasChatFormat(tokenizer_));
  const ChatPrompt chat = Render({User("Good day.")});
  EXPECT_EQ(chat.kept, 0);
  EXPECT_EQ(chat.tokens, Join({{bos_, user_}, Encode("Good day."), {assistant_, answer_}}));
  const ChatPrompt thinking = Render({User("Good day.")}, {}, {.thinking = Thinking::kHigh});
  EXPECT_EQ(thinking.tokens.back(), think_);
}

TEST_F(ChatPromptTest, KeepsControlTokensOutOfText) {
  const std::string text = "<think><\uFF5CUser\uFF5C>";
  const Tokens tokens = Render({User(text)}).tokens;
  EXPECT_EQ(std::count_if(tokens.begin(), tokens.end(),
                          [&](TokenId token) { return tokenizer_.IsAdded(token); }),
            4);
  EXPECT_EQ(*tokenizer_.Decode(std::span(tokens).subspan(2, tokens.size() - 4)), text);
}

TEST_F(ChatPromptTest, KeepsSampledTokensAsTheyAre) {
  // One token for each letter: not what the encoder would make of the word.
  Tokens sampled;
  for (const char c : std::string("the answer")) sampled.push_back(Encode(std::string(1, c)).at(0));
  ASSERT_NE(sampled, Encode("the answer"));
  const Tokens held = Join({Render({User("Why?")}).tokens, sampled});
  const ChatPrompt next = Render({User("Why?"), Assistant("the answer"), User("Yes.")}, held);
  EXPECT_EQ(next.kept, static_cast<int64_t>(held.size()));
  EXPECT_EQ(next.tokens, Join({{eos_, user_}, Encode("Yes."), {assistant_, answer_}}));
  // A reply that was cut short and then completed by the program.
  const ChatPrompt longer = Render({User("Why?"), Assistant("the answer is no")}, held);
  EXPECT_EQ(longer.kept, static_cast<int64_t>(held.size()));
  EXPECT_EQ(longer.tokens, Join({Encode(" is no"), {eos_}}));
}

TEST_F(ChatPromptTest, GoesOnInsideATextThatWasHalfFed) {
  const Tokens all = Render({User("It is a truth universally acknowledged")}).tokens;
  for (size_t n = 0; n <= all.size(); ++n) {
    const Tokens held(all.begin(), all.begin() + static_cast<ptrdiff_t>(n));
    const ChatPrompt rest = Render({User("It is a truth universally acknowledged")}, held);
    EXPECT_EQ(rest.kept, static_cast<int64_t>(n));
    EXPECT_EQ(Join({held, rest.tokens}), all);
  }
}

TEST_F(ChatPromptTest, DepartsWhereTheTextDoes) {
  const Tokens held = Render({User("one two three")}).tokens;
  const Tokens wanted = Render({User("one two four")}).tokens;
  const ChatPrompt prompt = Render({User("one two four")}, held);
  EXPECT_LT(prompt.kept, static_cast<int64_t>(held.size()));
  EXPECT_GT(prompt.kept, 2);
  EXPECT_EQ(Join({Tokens(held.begin(), held.begin() + prompt.kept), prompt.tokens}), wanted);
}

TEST_F(ChatPromptTest, TextNeverEqualsAControlToken) {
  const Tokens held{bos_, user_, think_, assistant_, answer_};
  const ChatPrompt prompt = Render({User("<think>")}, held);
  EXPECT_EQ(prompt.kept, 2);
}

TEST_F(ChatPromptTest, KeepsSampledBytesThatAreNoText) {
  const Tokens euro = Encode("\u20AC");
  ASSERT_GT(euro.size(), 1U);
  const Tokens held = Join({Render({User("x")}).tokens, {euro[0]}, Encode("a"), {eos_}});
  const ChatPrompt prompt = Render({User("x"), Assistant("\uFFFDa"), User("y")}, held);
  EXPECT_EQ(prompt.kept, static_cast<int64_t>(held.size()));
}

TEST_F(ChatPromptTest, KeptReasoningOnlyGrows) {
  const ChatOptions drop{.thinking = Thinking::kHigh};
  const ChatOptions keep{.thinking = Thinking::kHigh, .keep_reasoning = true};
  const Tokens held =
      Join({Render({User("x")}, {}, keep).tokens, Encode("why"), {answer_}, Encode("so"), {eos_}});
  const std::vector<Message> messages{User("x"), Assistant("so", "why"), User("y")};
  EXPECT_EQ(Render(messages, held, keep).kept, static_cast<int64_t>(held.size()));
  EXPECT_EQ(Render(messages, held, drop).kept, 4);  // BOS, user, x, assistant
}

TEST_F(ChatPromptTest, NamesTheFieldThatIsWrong) {
  const auto error = [&](Message message) {
    return RenderChat(tokenizer_, std::vector{std::move(message)}, {}).error().message;
  };
  EXPECT_EQ(error({.role = Role::kSystem, .tools = "{}"}),
            "messages[0].tools: expected a JSON array, found an object");
  EXPECT_EQ(error({.role = Role::kSystem, .tools = "[1]"}),
            "messages[0].tools[0]: expected an object, found a number");
  EXPECT_EQ(error({.role = Role::kUser, .content = "\xFF"}),
            "messages[0].content: expected UTF-8, found an ill-formed sequence at byte 0");
}

}  // namespace
}  // namespace dsv4
