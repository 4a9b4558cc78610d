#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/json.h"
#include "cli/commands.h"
#include "store/store_test_util.h"

namespace dsv::cli {
namespace {

using dsv::testing::MakePayload;
using dsv::testing::MakeTokens;
using dsv::testing::OpenStore;
using dsv::testing::StoreWithChain;
using dsv::testing::Views;

struct Outcome {
  std::string output;
  std::string error;  // empty: success
};

Outcome RunStore(const std::string& arguments) {
  CLI::App app;
  Action action;
  AddStoreCommand(app, action);
  app.parse("store " + arguments, /*program_name_included=*/false);
  ::testing::internal::CaptureStdout();
  const Status status = action();
  return {::testing::internal::GetCapturedStdout(), status ? "" : status.error().message};
}

struct Example : StoreWithChain {
  Example() : StoreWithChain(5) {
    EXPECT_TRUE(store->PutTail(chain.Keys()[4], MakeTokens(1, 9), Views(MakePayload(1))));
    EXPECT_TRUE(store->PutName({"book", "model", chain.Keys()[4], 649, MakeTokens(1, 649)}));
  }
  std::string path() const { return directory.path().string(); }
};

TEST(StoreCommand, ListsBesideTheWriter) {
  const Example example;
  const Outcome text = RunStore("ls " + example.path());
  EXPECT_EQ(text.error, "");
  EXPECT_NE(text.output.find("\nbook "), std::string::npos) << text.output;
  EXPECT_NE(text.output.find(Hex(example.chain.Keys()[4]).substr(0, 12)), std::string::npos);
  const auto json = ParseJson(RunStore("ls --json " + example.path()).output, "output");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ((*json)["names"][0]["tokens"], 649);
  EXPECT_EQ((*json)["chains"][0]["tokens"], 649);
  EXPECT_EQ((*json)["chains"][0]["identity"], "model");
}

TEST(StoreCommand, Counts) {
  const Example example;
  EXPECT_NE(RunStore("stat " + example.path()).output.find("blocks               5    31.36 kB\n"),
            std::string::npos);
  const auto json = ParseJson(RunStore("stat --json " + example.path()).output, "output");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["tails"], 1);
  EXPECT_EQ((*json)["dead_bytes"], 0);
}

TEST(StoreCommand, VerifiesAndDrops) {
  Example example;
  Outcome outcome = RunStore("verify " + example.path());
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.output, "5 blocks and 1 tails, 37.25 kB: 0 damaged\n");
  example.Close();
  std::fstream(example.directory / "segments/000001.seg", std::ios::in | std::ios::out)
      .seekp(20'000)
      .put('?');
  const auto json = ParseJson(RunStore("verify --json " + example.path()).output, "output");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["problems"].size(), 1u);
  outcome = RunStore("verify --drop " + example.path());
  EXPECT_NE(outcome.output.find(": 1 damaged\n  block "), std::string::npos) << outcome.output;
  EXPECT_EQ(outcome.error,
            example.path() + ": 1 records are damaged; they and what follows them were dropped");
  EXPECT_EQ(RunStore("verify " + example.path()).output,
            "3 blocks and 0 tails, 18.82 kB: 0 damaged\n");
}

TEST(StoreCommand, CollectsAndRebuilds) {
  Example example;
  EXPECT_NE(RunStore("gc " + example.path()).error.find("is writing to this store"),
            std::string::npos);
  example.Close();
  EXPECT_EQ(RunStore("gc --max-size 15kB " + example.path())
                .output.rfind("evicted 3 blocks and 1 tails; on disk ", 0),
            0u);
  std::filesystem::remove(example.directory / "index.sqlite");
  EXPECT_NE(RunStore("gc " + example.path())
                .error.find("missing beside 1 segments; `dsv4 store gc --rebuild`"),
            std::string::npos);
  const Outcome rebuilt = RunStore("gc --rebuild " + example.path());
  EXPECT_EQ(rebuilt.error, "");
  EXPECT_EQ(rebuilt.output.rfind("rebuilt the index: ", 0), 0u) << rebuilt.output;
  EXPECT_EQ(OpenStore(example.directory.path())->Stat()->names, 0);
}

}  // namespace
}  // namespace dsv::cli
