// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <limitr/limitr.h>

// A process is killed while its threads call an engine that keeps its state in a file. What it had
// been told is there afterwards, nothing is half there, and no limit is passed. spec: state.md
namespace limitr {
namespace {

constexpr int customers = 8;
constexpr int threads = 4;
constexpr double shared_limit = 1500;

constexpr std::string_view policy = R"(
policy:
  credits: { tok: { price: { amount: 1 } } }
  plans:
    pro:
      default: true
      entitlements:
        own: { limit: { credit: tok, value: 1e9, mode: soft } }
        shared: { scope: org, limit: { credit: tok, value: 1500 } }
)";

unsigned number_from(const char* variable, unsigned otherwise) {
  const char* text = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

// What the child tells of one answered call. One write of so few bytes is never torn.
struct Answer {
  int customer;
  int own;
  int shared;
};

class Folder {
public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "limitr-crashes-abcdef").string();
    name.replace(name.size() - 6, 6, 6, 'X');
    path_ = mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string url() const { return "sqlite:" + path_ + "/state.db"; }

private:
  std::string path_;
};

Result<Limitr> open(const std::string& url) {
  Options options;
  options.store = url;
  options.log = [](std::string_view) {};
  return Limitr::open(policy, std::move(options));
}

void hammer(Limitr& limitr, int told, unsigned seed) {
  std::minstd_rand random(seed);
  for (;;) {
    Answer answer{static_cast<int>(random() % customers), 0, 0};
    const std::string id = std::to_string(answer.customer);
    const bool is_shared = random() % 2 == 0;
    const auto decision = limitr.allow(id, is_shared ? "shared" : "own", 1);
    if (!decision.ok()) _exit(2);
    if (!decision->allowed) continue;
    (is_shared ? answer.shared : answer.own) = 1;
    if (write(told, &answer, sizeof answer) != sizeof answer) _exit(3);
  }
}

// The child: opens the store, and calls until it is killed.
[[noreturn]] void run_child(const std::string& url, int told, unsigned seed) {
  auto limitr = open(url);
  if (!limitr.ok()) _exit(1);
  std::vector<std::thread> callers;
  for (unsigned t = 0; t < threads; ++t) {
    callers.emplace_back([&, t] { hammer(*limitr, told, seed + t); });
  }
  for (std::thread& caller : callers) caller.join();
  _exit(0);
}

struct Counts {
  std::map<int, double> own;
  double shared = 0;
  double capped = 0;
};

// Reads what is in the store by now.
Counts stored(const std::string& url) {
  Counts counts;
  auto limitr = open(url);
  if (!limitr.ok()) {
    ADD_FAILURE() << limitr.error().to_string();
    return counts;
  }
  for (int i = 0; i < customers; ++i) {
    const std::string id = std::to_string(i);
    counts.own[i] = limitr->value(id, "own")->value_or(-1);
    const auto cap = limitr->customer_cap(id, "all");
    counts.capped += (**cap)["meter_value"].get<double>();
  }
  counts.shared = limitr->value("acme", "shared")->value_or(-1);
  return counts;
}

double total(const Counts& counts) {
  double sum = counts.shared;
  for (const auto& [customer, own] : counts.own) sum += own;
  return sum;
}

TEST(Crashes, LoseNoAnsweredCallAndTearNone) {
  const unsigned rounds = number_from("LIMITR_CRASHES", 20);
  const unsigned seed = number_from("LIMITR_SEED", std::random_device()());
  SCOPED_TRACE("LIMITR_SEED=" + std::to_string(seed));
  std::minstd_rand random(seed);
  const Folder folder;
  {
    auto limitr = open(folder.url());
    ASSERT_TRUE(limitr.ok()) << limitr.error().to_string();
    ASSERT_TRUE(limitr->create_customer("acme", {.type = "org"}).ok());
    for (int i = 0; i < customers; ++i) {
      const std::string id = std::to_string(i);
      ASSERT_TRUE(limitr->create_customer(id, {.refs = {{"acme"}}}).ok());
      ASSERT_TRUE((*limitr->add_customer_cap(id, 1e9, {.cap = "all"})).has_value());
    }
  }
  Counts known;
  for (unsigned round = 0; round < rounds; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      run_child(folder.url(), ends[1], seed + round * 100);
    }
    close(ends[1]);
    const auto answers = static_cast<unsigned>(random() % 200);
    Answer answer{};
    for (unsigned heard = 0; read(ends[0], &answer, sizeof answer) == sizeof answer;) {
      known.own[answer.customer] += answer.own;
      known.shared += answer.shared;
      if (heard++ == answers) kill(child, SIGKILL);
    }
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);

    const Counts there = stored(folder.url());
    double unanswered = 0;
    for (int i = 0; i < customers; ++i) {
      EXPECT_GE(there.own.at(i), known.own[i]) << "an answered call of " << i << " is lost";
      unanswered += there.own.at(i) - known.own[i];
    }
    EXPECT_GE(there.shared, known.shared) << "an answered call on the org's meter is lost";
    unanswered += there.shared - known.shared;
    EXPECT_LE(there.shared, shared_limit);
    EXPECT_LE(unanswered, threads) << "each thread had one call in flight";
    EXPECT_EQ(there.capped, total(there)) << "the caller's cap moved with the meter, or neither";
    if (::testing::Test::HasFailure()) return;
    known = there;
  }
}

}  // namespace
}  // namespace limitr
