// SPDX-License-Identifier: Apache-2.0
#include <limitr/c_api.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// Engines of a Cloud server as C opens them, over a real socket of a real server.
namespace {

using testing::HasSubstr;

constexpr const char* policy = R"(
policy:
  credits: { tok: { price: { amount: 2 } }, fn: { overhead_fn: cost } }
  plans:
    pro:
      default: true
      entitlements:
        chat: { limit: { credit: tok, value: 10 } }
        work: { limit: { credit: fn, value: 10 } }
)";

std::string text(limitr_view view) { return {view.data, view.size}; }

// What stands behind `name` in a text, until a space.
std::string after(const std::string& text, const std::string& name) {
  const std::size_t at = text.find(name);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size();
  return text.substr(begin, text.find_first_of(" \n", begin) - begin);
}

// `limitr serve` in a folder of its own.
class Server {
public:
  Server() : folder_(testing::TempDir() + "limitr_c_cloud_" + std::to_string(::getpid())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    std::ofstream(folder_ + "/policy.yaml") << policy;
    std::array<int, 2> output{};
    EXPECT_EQ(::pipe(output.data()), 0);
    process_ = ::fork();
    if (process_ == 0) run(output[1]);
    ::close(output[1]);
    std::string said;
    std::array<char, 4096> bytes{};
    while (said.find("Serving at ") == std::string::npos || !said.ends_with('\n')) {
      const auto got = ::read(output[0], bytes.data(), bytes.size());
      if (got <= 0) break;
      said.append(bytes.data(), static_cast<std::size_t>(got));
    }
    ::close(output[0]);
    token_ = after(said, "shown this once: ");
    address_ = after(said, "Serving at ");
    EXPECT_FALSE(token_.empty() || address_.empty()) << said;
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    std::filesystem::remove_all(folder_);
  }

  /// Options of an engine of this server, and more of them: `,"name":value`.
  std::string options(const std::string& more = {}) const {
    return R"({"address":")" + address_ + R"(","token":")" + token_ + "\"" + more + "}";
  }
  const std::string& address() const { return address_; }

private:
  [[noreturn]] void run(int output) const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::chdir(folder_.c_str()) == 0 && ::dup2(output, STDOUT_FILENO) >= 0) {
      ::execl(LIMITR_PROGRAM, "limitr", "serve", "--policy", "policy.yaml", "--store",
              "sqlite:limitr.db", "--listen", "127.0.0.1:0", nullptr);
    }
    ::_exit(127);
  }

  const std::string folder_;
  ::pid_t process_ = -1;
  std::string token_;
  std::string address_;
};

struct Failure {
  int code = 0;
  std::string message;
  std::string where;
};

class CCloud : public testing::Test {
protected:
  void TearDown() override {
    for (limitr_engine* engine : engines_) limitr_engine_free(engine);
  }

  limitr_engine* open(const std::string& options, const limitr_host* host = nullptr) {
    limitr_error* error = nullptr;
    limitr_engine* engine = limitr_open_cloud({options.data(), options.size()}, host, &error);
    EXPECT_NE(engine, nullptr) << text(limitr_error_message(error));
    engines_.push_back(engine);
    return engine;
  }
  static Failure refused(const std::string& options, const limitr_host* host = nullptr) {
    limitr_error* error = nullptr;
    EXPECT_EQ(limitr_open_cloud({options.data(), options.size()}, host, &error), nullptr);
    Failure failure{limitr_error_code(error), text(limitr_error_message(error)),
                    text(limitr_error_where(error))};
    limitr_error_free(error);
    return failure;
  }

  const limitr_view ann = limitr_text("ann");
  const limitr_view chat = limitr_text("chat");
  const limitr_view none = {nullptr, 0};
  std::vector<limitr_engine*> engines_;
};

TEST_F(CCloud, EnginesShareCustomersAndLimits) {
  const Server server;
  limitr_engine* one = open(server.options());
  limitr_engine* other = open(server.options());
  ASSERT_TRUE(one != nullptr && other != nullptr);
  EXPECT_EQ(limitr_ensure_customer(one, ann, none, nullptr), 1);
  EXPECT_EQ(limitr_ensure_customer(other, ann, none, nullptr), 0);
  int allowed = 0;
  for (int i = 0; i < 8; ++i) {
    for (limitr_engine* engine : {one, other}) {
      allowed += limitr_allow(engine, ann, chat, limitr_number(1), nullptr, nullptr, nullptr);
    }
  }
  EXPECT_EQ(allowed, 10);
  uint64_t written = 0;
  EXPECT_EQ(limitr_close(one, &written, nullptr), 0);
  double used = 0;
  EXPECT_EQ(limitr_value_of(other, ann, chat, &used, nullptr), 1);
  EXPECT_EQ(used, 10);
}

TEST_F(CCloud, SaysWhyThereIsNoEngine) {
  const Server server;
  const std::string bad = R"({"token":"bad","address":")" + server.address() + R"("})";
  EXPECT_EQ(refused(bad).code, LIMITR_UNAUTHORIZED);
  const Failure away =
      refused(R"({"token":"x","address":"http://127.0.0.1:1","connect_timeout":100})");
  EXPECT_EQ(away.code, LIMITR_UNCONNECTED);
  EXPECT_THAT(away.message, HasSubstr("127.0.0.1:1"));
  EXPECT_EQ(refused(server.options(R"(,"policy":"9")")).code, LIMITR_INVALID_ARGUMENT);
}

TEST_F(CCloud, OptionsThatCannotBeSayWhere) {
  struct Row {
    const char* options;
    const char* where;
    const char* message;
  };
  const std::vector<Row> rows = {
      {R"({"token":5})", "options.token", "text"},
      {R"({"room":1.5})", "options.room", "from 0 to 1"},
      {R"({"room":-0.1})", "options.room", "from 0 to 1"},
      {R"({"connect_timeout":-1})", "options.connect_timeout", "whole number"},
      {R"({"local_file":5})", "options.local_file", "text"},
      {R"({"deny_unconnected":1})", "options.deny_unconnected", "true or false"},
      {R"({"bounds":{"max_bytes":0.5}})", "options.bounds.max_bytes", "whole number"},
      {R"({"store":"sqlite:x"})", "options", "unknown argument `store`"},  // The server's.
      {R"([])", "options", "expected a mapping"},
      {R"({"address":"4242"})", "", "`4242` is no address"}};
  for (const Row& row : rows) {
    const Failure failure = refused(row.options);
    EXPECT_EQ(failure.code, LIMITR_INVALID_ARGUMENT) << row.options;
    EXPECT_EQ(failure.where, row.where) << row.options;
    EXPECT_THAT(failure.message, HasSubstr(row.message)) << row.options;
  }
}

TEST_F(CCloud, HostOfAnEngineIsItsOwn) {
  const Server server;
  int released = 0;
  const limitr_host_function cost = {.name = limitr_text("cost"),
                                     .data = nullptr,
                                     .overhead =
                                         [](void*, double units, limitr_view, double* runes) {
                                           *runes = units * 7;
                                           return 1;
                                         },
                                     .rate = nullptr,
                                     .notification = nullptr};
  limitr_host host = {};
  host.data = &released;
  host.release = [](void* data) { ++*static_cast<int*>(data); };
  host.functions = &cost;
  host.function_count = 1;
  limitr_engine* engine = open(server.options(R"(,"deny_unconnected":false,"room":0)"), &host);
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(limitr_ensure_customer(engine, ann, none, nullptr), 1);
  limitr_decision decision;
  EXPECT_EQ(
      limitr_allow(engine, ann, limitr_text("work"), limitr_number(2), nullptr, &decision, nullptr),
      1);
  EXPECT_EQ(decision.overhead, 14);
  EXPECT_EQ(released, 0);
  limitr_engine_free(std::exchange(engines_[0], nullptr));
  EXPECT_EQ(released, 1);
  EXPECT_EQ(refused(R"({"room":2})", &host).code, LIMITR_INVALID_ARGUMENT);
  EXPECT_EQ(released, 2) << "also where there is no engine";
}

}  // namespace
