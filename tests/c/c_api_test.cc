// SPDX-License-Identifier: Apache-2.0
#include <limitr/c_api.h>

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

// What C sees of an engine: answers, errors, who owns what, and what is called when.
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
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

std::string take(limitr_string* string) {
  if (string == nullptr) return "NULL";
  std::string taken = text(limitr_string_view(string));
  limitr_string_free(string);
  return taken;
}

// "name: message", and gives it back.
std::string take(limitr_error* error) {
  if (error == nullptr) return "none";
  std::string taken = text(limitr_error_name(error)) + ": " + text(limitr_error_message(error));
  limitr_error_free(error);
  return taken;
}

class CApi : public testing::Test {
protected:
  ~CApi() override { limitr_engine_free(engine_); }

  void open(const std::string& options = "{}", const limitr_host* host = nullptr) {
    limitr_error* error = nullptr;
    engine_ = limitr_open(limitr_text(policy), {options.data(), options.size()}, host, &error);
    ASSERT_NE(engine_, nullptr) << take(error);
    EXPECT_EQ(error, nullptr);
    EXPECT_EQ(limitr_ensure_customer(engine_, ann, {nullptr, 0}, &error), 1);
  }
  void open_sqlite() {
    const std::string file = testing::TempDir() + "limitr_c_api_" +
                             testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove(file + ".db");
    open(R"({"store":"sqlite:)" + file + R"(.db"})");
  }

  const limitr_view ann = limitr_text("ann");
  const limitr_view chat = limitr_text("chat");
  limitr_engine* engine_ = nullptr;
};

TEST_F(CApi, DecidesAndSaysWhy) {
  open();
  limitr_decision decision;
  limitr_error* error = nullptr;
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(4), nullptr, &decision, &error), 1);
  EXPECT_EQ(decision.value, 4);
  EXPECT_EQ(decision.limit, 10);
  EXPECT_EQ(decision.remaining, 6);
  EXPECT_TRUE(std::isnan(decision.overage)) << "it does not apply";
  EXPECT_EQ(decision.resets, LIMITR_NO_TIME);
  EXPECT_EQ(decision.cap.data, nullptr);
  EXPECT_EQ(limitr_check(engine_, ann, chat, limitr_number(7), nullptr, &decision, &error), 0);
  EXPECT_EQ(decision.reason, LIMITR_REASON_LIMIT);
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_quantity("six"), nullptr, nullptr, &error), -1);
  EXPECT_THAT(take(error), HasSubstr("invalid_value: "));
  EXPECT_EQ(limitr_increment(engine_, ann, chat, nullptr, nullptr, nullptr), 1);
  EXPECT_EQ(limitr_check_increment(engine_, ann, chat, nullptr, nullptr, nullptr), 1);
  EXPECT_EQ(limitr_decrement(engine_, ann, chat, nullptr, nullptr, nullptr), 1);
  EXPECT_EQ(limitr_check_decrement(engine_, ann, chat, nullptr, nullptr, nullptr), 1);
  EXPECT_EQ(limitr_set(engine_, ann, chat, limitr_number(9), nullptr, &decision, nullptr), 1);
  EXPECT_EQ(decision.value, 9);
  double left = -1;
  EXPECT_EQ(limitr_remaining_of(engine_, ann, chat, &left, &error), 1);
  EXPECT_EQ(left, 1);
  EXPECT_EQ(limitr_value_of(engine_, limitr_text("bob"), chat, &left, &error), 0);
  EXPECT_EQ(left, 1) << "nothing is written where there is nothing to say";
}

TEST_F(CApi, TakesOptionsOfCalls) {
  open();
  limitr_decision decision;
  limitr_error* error = nullptr;
  const double overhead = 3;
  limitr_call_options options = {};
  options.overhead = &overhead;
  options.force = 1;
  options.request = limitr_text("r1");
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(12), &options, &decision, &error), 1);
  EXPECT_EQ(decision.overhead, 3);
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(12), &options, &decision, &error), 1);
  EXPECT_EQ(decision.repeated, 1);
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(13), &options, &decision, &error), -1);
  EXPECT_EQ(limitr_error_code(error), LIMITR_REQUEST_MISMATCH);
  take(error);

  limitr_call_options capped = {};
  capped.caps = limitr_text(R"({"rune":1})");
  EXPECT_EQ(limitr_set(engine_, ann, chat, limitr_number(0), nullptr, nullptr, nullptr), 1);
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(1), &capped, &decision, &error), 0);
  EXPECT_EQ(decision.reason, LIMITR_REASON_CAP);
  EXPECT_EQ(decision.cap.data, nullptr) << "a call's own cap has no ID";
  EXPECT_EQ(text(decision.cap_customer), "ann");
  capped.caps = limitr_text("{");
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(1), &capped, &decision, &error), -1);
  EXPECT_EQ(text(limitr_error_where(error)), "caps");
  take(error);
  capped.caps = {nullptr, 0};
  capped.event_data = limitr_text("[1]");
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(1), &capped, nullptr, &error), -1);
  EXPECT_THAT(take(error), HasSubstr("invalid_argument: "));
}

TEST_F(CApi, HandlesSkipTheLookUps) {
  open();
  limitr_error* error = nullptr;
  EXPECT_EQ(limitr_handle_find(engine_, limitr_text("bob"), chat, &error), nullptr);
  EXPECT_EQ(error, nullptr);
  limitr_handle* handle = limitr_handle_find(engine_, ann, chat, &error);
  ASSERT_NE(handle, nullptr);
  EXPECT_EQ(limitr_handle_allow(engine_, handle, limitr_number(10), nullptr, nullptr, &error), 1);
  EXPECT_EQ(limitr_handle_check(engine_, handle, limitr_number(1), nullptr, nullptr, &error), 0);
  EXPECT_EQ(limitr_handle_check(engine_, nullptr, limitr_number(1), nullptr, nullptr, &error), -1);
  take(error);
  limitr_handle_free(handle);
}

TEST_F(CApi, HoldsRoom) {
  open();
  limitr_error* error = nullptr;
  const limitr_value six = limitr_number(6);
  const std::string hold = take(limitr_reserve(engine_, ann, chat, &six, &error));
  ASSERT_NE(hold, "NULL");
  EXPECT_EQ(take(limitr_reserve(engine_, ann, chat, &six, &error)), "NULL");
  EXPECT_EQ(error, nullptr) << "there is no room: no failure";
  limitr_decision decision;
  EXPECT_EQ(limitr_settle(engine_, ann, chat, {hold.data(), hold.size()}, limitr_number(2),
                          &decision, &error),
            1);
  EXPECT_EQ(decision.value, 2);
  EXPECT_EQ(limitr_release_hold(engine_, ann, chat, {hold.data(), hold.size()}, &error), 0);
}

TEST_F(CApi, NullIsAnErrorAndNoCrash) {
  limitr_error* error = nullptr;
  EXPECT_EQ(limitr_allow(nullptr, ann, chat, limitr_number(1), nullptr, nullptr, &error), -1);
  EXPECT_EQ(take(error), "invalid_argument: the engine is NULL");
  EXPECT_EQ(limitr_call(nullptr, ann, chat, nullptr), nullptr);
  EXPECT_EQ(limitr_open(limitr_text("policy: 1"), {nullptr, 0}, nullptr, nullptr), nullptr);
  EXPECT_EQ(limitr_open(limitr_text(policy), limitr_text(R"({"stoer":1})"), nullptr, &error),
            nullptr);
  EXPECT_THAT(take(error), HasSubstr("unknown argument `stoer`"));
  EXPECT_EQ(limitr_open({nullptr, 0}, {nullptr, 0}, nullptr, &error), nullptr);
  EXPECT_THAT(take(error), HasSubstr("policy_invalid: "));
  limitr_engine_free(nullptr);
  limitr_handle_free(nullptr);
  limitr_string_free(nullptr);
  limitr_error_free(nullptr);
  EXPECT_EQ(limitr_string_view(nullptr).size, 0U);
}

TEST_F(CApi, ChecksPolicies) {
  limitr_error* error = nullptr;
  EXPECT_EQ(take(limitr_validate(limitr_text(policy), {nullptr, 0}, &error)), "[]");
  const Json issues = Json::parse(take(limitr_validate(
      limitr_text("policy: { plans: { a: { entitlements: { b: { limit: { credit: no } } } } } }"),
      {nullptr, 0}, &error)));
  ASSERT_FALSE(issues.empty());
  EXPECT_TRUE(issues[0].contains("path") && issues[0].contains("line"));
  const Json differences = Json::parse(take(limitr_difference(
      limitr_text("policy: { a: 1 }"), {nullptr, 0}, limitr_text(R"({"policy":{"a":2}})"),
      limitr_text(R"({"format":"json"})"), &error)));
  EXPECT_EQ(differences,
            Json::parse(R"([{"kind":"changed","path":"policy.a","before":1,"after":2}])"));
  EXPECT_EQ(limitr_validate({nullptr, 0}, limitr_text(R"({"format":"xml"})"), &error), nullptr);
  EXPECT_THAT(take(error), HasSubstr("unknown format `xml`"));
}

struct Seen {
  std::vector<std::string> events;
  int released = 0;
};

void see(void* data, const limitr_event* event) {
  static_cast<Seen*>(data)->events.push_back(text(event->type) + " " + text(event->customer));
  EXPECT_TRUE(Json::parse(text(event->payload)).is_object());
}
void release(void* data) { ++static_cast<Seen*>(data)->released; }

TEST_F(CApi, SendsEventsAndReleasesHandlersOnce) {
  open();
  Seen seen;
  limitr_add_handler(engine_, limitr_text("a"), see, &seen, release);
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(1), nullptr, nullptr, nullptr), 1);
  EXPECT_THAT(seen.events, ElementsAre("meter-changed ann"));
  limitr_call_options silent = {};
  silent.silent = 1;
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(1), &silent, nullptr, nullptr), 1);
  EXPECT_EQ(seen.events.size(), 1U);
  EXPECT_EQ(limitr_remove_handler(engine_, limitr_text("a")), 1);
  EXPECT_EQ(seen.released, 1);
  EXPECT_EQ(limitr_remove_handler(engine_, limitr_text("a")), 0);
  limitr_add_handler(engine_, limitr_text("b"), see, &seen, release);
  limitr_clear_handlers(engine_);
  EXPECT_EQ(seen.released, 2);
  limitr_add_handler(nullptr, limitr_text("c"), see, &seen, release);
  EXPECT_EQ(seen.released, 3) << "also where there is no engine";
}

struct Host {
  int64_t now = 1'767'225'600'000;
  double runes = 5;
  int works = 1;
  int released = 0;
  std::vector<std::string> log;
  std::string event_data;
};

Host& host_of(void* data) { return *static_cast<Host*>(data); }

TEST_F(CApi, AsksItsHost) {
  Host host;
  limitr_host_function cost = {};
  cost.name = limitr_text("cost");
  cost.data = &host;
  cost.overhead = [](void* data, double units, limitr_view event_data, double* runes) {
    host_of(data).event_data = text(event_data);
    *runes = units * host_of(data).runes;
    return host_of(data).works;
  };
  limitr_host given = {};
  given.data = &host;
  given.log = [](void* data, limitr_view message) { host_of(data).log.push_back(text(message)); };
  given.now = [](void* data) { return host_of(data).now; };
  given.release = [](void* data) { ++host_of(data).released; };
  given.functions = &cost;
  given.function_count = 1;
  open("{}", &given);

  limitr_decision decision;
  limitr_call_options options = {};
  options.event_data = limitr_text(R"({"model":"m"})");
  const limitr_view work = limitr_text("work");
  EXPECT_EQ(limitr_allow(engine_, ann, work, limitr_number(2), &options, &decision, nullptr), 1);
  EXPECT_EQ(decision.overhead, 10);
  EXPECT_EQ(host.event_data, R"({"model":"m"})");
  host.works = 0;
  EXPECT_EQ(limitr_allow(engine_, ann, work, limitr_number(2), nullptr, &decision, nullptr), 1);
  EXPECT_EQ(host.log.size(), 1U) << "a function that fails is logged";
  const Json meter =
      Json::parse(take(limitr_call(engine_, limitr_text("meter"),
                                   limitr_text(R"({"id":"ann","entitlement":"work"})"), nullptr)));
  EXPECT_EQ(meter["started"], host.now);
  limitr_engine_free(std::exchange(engine_, nullptr));
  EXPECT_EQ(host.released, 1);

  limitr_error* error = nullptr;
  EXPECT_EQ(limitr_open(limitr_text("{"), {nullptr, 0}, &given, &error), nullptr);
  take(error);
  EXPECT_EQ(host.released, 2) << "also where it cannot be opened";
}

// Answers as they come, on whatever thread.
class Answers {
public:
  static void decided(void* data, const limitr_decision* decision, const limitr_error* error) {
    static_cast<Answers*>(data)->add(error != nullptr         ? text(limitr_error_name(error))
                                     : decision->allowed != 0 ? "allowed"
                                                              : "denied");
  }
  static void answered(void* data, limitr_view answer, const limitr_error* error) {
    static_cast<Answers*>(data)->add(error != nullptr ? text(limitr_error_message(error))
                                                      : text(answer));
  }
  std::vector<std::string> wait(std::size_t count) {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return answers_.size() >= count; });
    return answers_;
  }

private:
  void add(std::string answer) {
    const std::lock_guard lock(mutex_);
    answers_.push_back(std::move(answer));
    came_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<std::string> answers_;
};

// Goal: every call there is can be made without waiting, and all of them keep one order.
TEST_F(CApi, CallsThatAreNotWaitedForKeepTheirOrder) {
  open_sqlite();
  Answers answers;
  Seen seen;
  limitr_add_handler(engine_, limitr_text("a"), see, &seen, nullptr);
  const auto call = [&](const char* name, const char* arguments) {
    limitr_call_async(engine_, limitr_text(name), limitr_text(arguments), Answers::answered,
                      &answers);
  };
  call("create_customer", R"({"id":"bob"})");
  limitr_allow_async(engine_, limitr_text("bob"), chat, limitr_number(6), nullptr, Answers::decided,
                     &answers);
  call("allow_many", R"({"calls":[{"id":"bob","entitlement":"chat","value":9}]})");
  call("remaining", R"({"id":"bob","entitlement":"chat"})");
  call("delete_customer", R"({"id":"bob"})");
  limitr_allow_async(engine_, limitr_text("bob"), chat, limitr_number(6), nullptr, Answers::decided,
                     &answers);
  call("value", R"({"id":1})");
  call("flush", "");
  call("close", "");
  const auto all = answers.wait(9);
  EXPECT_THAT(all, testing::Contains(HasSubstr("close waits for all other calls")));
  std::vector<std::string> in_order;
  for (const std::string& answer : all)
    if (answer.find("close waits") == std::string::npos) in_order.push_back(answer);
  EXPECT_THAT(in_order, ElementsAre("null", "allowed", HasSubstr(R"("allowed":false)"), "4", "true",
                                    "denied", "expected text, found a number", "null"));
  uint64_t written = 0;
  EXPECT_EQ(limitr_close(engine_, &written, nullptr), 0);
  EXPECT_GT(written, 0U);
  EXPECT_THAT(seen.events, testing::IsSupersetOf({"customer-set bob", "meter-changed bob"}));
}

TEST_F(CApi, WithoutAStoreNothingIsWaitedFor) {
  open();
  Answers answers;
  limitr_allow_async(engine_, ann, chat, limitr_number(6), nullptr, Answers::decided, &answers);
  limitr_call_async(engine_, limitr_text("customers"), {nullptr, 0}, Answers::answered, &answers);
  limitr_allow_async(nullptr, ann, chat, limitr_number(6), nullptr, Answers::decided, &answers);
  EXPECT_THAT(answers.wait(3), ElementsAre("allowed", HasSubstr(R"({"ann":)"), "invalid_argument"));
}

TEST_F(CApi, StateComesBack) {
  open();
  EXPECT_EQ(limitr_allow(engine_, ann, chat, limitr_number(6), nullptr, nullptr, nullptr), 1);
  const std::string state = take(limitr_export_state(engine_, nullptr));
  EXPECT_EQ(Json::parse(take(limitr_customers(engine_, nullptr))), Json::parse(state)["customers"]);
  EXPECT_EQ(limitr_delete_customer(engine_, ann, nullptr), 1);
  EXPECT_EQ(limitr_delete_customer(engine_, ann, nullptr), 0);
  EXPECT_EQ(Json::parse(take(
                limitr_load_customers(engine_, {state.data(), state.size()}, nullptr)))["loaded"],
            1);
  double used = 0;
  EXPECT_EQ(limitr_value_of(engine_, ann, chat, &used, nullptr), 1);
  EXPECT_EQ(used, 6);
}

TEST(CApiCalls, AreListed) {
  const Json calls = Json::parse(take(limitr_calls()));
  EXPECT_GT(calls.size(), 70U);
  EXPECT_EQ(text(limitr_version()), "0.1.0");
}

}  // namespace
