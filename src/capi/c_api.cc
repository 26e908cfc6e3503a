// SPDX-License-Identifier: Apache-2.0
#include <limitr/c_api.h>

#include <cmath>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <limitr/limitr.h>
#include "base/amount.h"
#include "base/json_writer.h"
#include "call/answers.h"
#include "call/calls.h"
#include "call/options.h"
#include "call/policies.h"

// The C interface: converts, calls the engine, converts back. Nothing is decided here.
//
// INVARIANTS
// 1. No exception leaves a function: what can run out of memory does so inside guarded().
// 2. Where a function fails, *error is set, and otherwise it is NULL.

using limitr::Decision;
using limitr::Error;
using limitr::ErrorCode;
using limitr::Limitr;
using limitr::Result;

struct limitr_error {
  int code;
  std::string name;
  std::string message;
  std::string where;
};

struct limitr_string {
  std::string text;
};

struct limitr_engine {
  Limitr limitr;
  std::shared_ptr<const limitr::Clock> clock;
  std::shared_ptr<void> host;  // what `release` is called for; outlives the engine
};

struct limitr_handle {
  limitr::Handle handle;
};

namespace {

static_assert(LIMITR_UNAUTHORIZED == static_cast<int>(ErrorCode::unauthorized));
static_assert(LIMITR_REASON_UNCONNECTED == 1 + static_cast<int>(limitr::Reason::unconnected));

std::string_view text(limitr_view view) {
  return view.size == 0 ? std::string_view() : std::string_view(view.data, view.size);
}
limitr_view view(std::string_view text) { return {text.data(), text.size()}; }

limitr::Value value_of(limitr_value value) {
  return value.text.size == 0 ? limitr::Value(value.number) : limitr::Value(text(value.text));
}

limitr_error error_of(const Error& error) {
  return {static_cast<int>(error.code), std::string(to_string(error.code)), error.message,
          error.where};
}

// Whatever a failed call gives is made before its caller learns of the failure. Where there is not
// even the memory for that, it is this one.
limitr_error no_memory{LIMITR_OUT_OF_MEMORY, "out_of_memory", "the process has no more memory", {}};

void set_error(limitr_error** error, const Error& from) {
  if (error == nullptr) return;
  try {
    *error = new limitr_error(error_of(from));
  } catch (const std::bad_alloc&) {
    *error = &no_memory;
  }
}

// Runs `body`; what it throws is an error, and the answer `failed`.
template <typename T, typename Body>
T guarded(limitr_error** error, T failed, const Body& body) noexcept {
  if (error != nullptr) *error = nullptr;
  try {
    return body();
  } catch (const std::exception&) {
    // The engine itself throws nothing: this is memory that ran out.
    if (error != nullptr) *error = &no_memory;
    return failed;
  }
}

const Error no_engine{.code = ErrorCode::invalid_argument, .message = "the engine is NULL"};

double number(const std::optional<double>& x) {
  return x ? *x : std::numeric_limits<double>::quiet_NaN();
}

// The denying cap's texts live as long as a limitr_decision promises.
void put(const Decision& from, limitr_decision* into) {
  if (into == nullptr) return;
  static thread_local std::shared_ptr<const limitr::DenyingCap> cap;
  cap = from.cap;
  *into = {.allowed = from.allowed ? 1 : 0,
           .repeated = from.repeated ? 1 : 0,
           .reason = from.reason ? 1 + static_cast<int>(*from.reason) : LIMITR_REASON_NONE,
           .value = number(from.value),
           .limit = number(from.limit),
           .remaining = number(from.remaining),
           .resets = from.resets ? limitr::to_ms(*from.resets) : LIMITR_NO_TIME,
           .overage = number(from.overage),
           .grant_value_applied = number(from.grant_value_applied),
           .overhead = number(from.overhead),
           .price_diff = number(from.price_diff),
           .overage_price = number(from.overage_price),
           .cap = cap && cap->id ? view(*cap->id) : limitr_view{nullptr, 0},
           .cap_customer = cap ? view(cap->customer) : limitr_view{nullptr, 0}};
}

int decided(const Result<Decision>& answer, limitr_decision* decision, limitr_error** error) {
  if (!answer.ok()) {
    set_error(error, answer.error());
    return -1;
  }
  put(*answer, decision);
  return answer->allowed ? 1 : 0;
}

limitr_string* made(std::string text) { return new limitr_string{std::move(text)}; }

limitr_string* answered(const limitr::call::Answer& answer, limitr_error** error) {
  if (answer.error) {
    set_error(error, *answer.error);
    return nullptr;
  }
  return made(limitr::call::json_text(answer));
}

limitr_string* answered(Result<std::string> answer, limitr_error** error) {
  if (answer.ok()) return made(std::move(*answer));
  set_error(error, answer.error());
  return nullptr;
}

int answered(const Result<bool>& answer, limitr_error** error) {
  if (answer.ok()) return *answer ? 1 : 0;
  set_error(error, answer.error());
  return -1;
}

int answered(const Result<void>& answer, limitr_error** error) {
  if (answer.ok()) return 0;
  set_error(error, answer.error());
  return -1;
}

int answered(const limitr::Read<double>& answer, double* number, limitr_error** error) {
  if (!answer.ok()) {
    set_error(error, answer.error());
    return -1;
  }
  if (!*answer) return 0;
  if (number != nullptr) *number = **answer;
  return 1;
}

// A JSON object of options, or nothing.
Result<limitr::policy::Node> node_of(limitr_view options) {
  limitr::policy::Node none{.data = limitr::policy::Node::Mapping()};
  if (options.size == 0) return none;
  auto read = limitr::policy::parse_document(text(options), limitr::Format::json, {});
  if (read.ok()) return read;
  Error error = std::move(read).error();
  error.code = ErrorCode::invalid_argument;
  error.where = "options" + (error.where.empty() ? "" : " (" + error.where + ")");
  return error;
}

Result<limitr::Options> options_of(limitr_view options) {
  const auto node = node_of(options);
  if (!node.ok()) return node.error();
  return limitr::call::engine_options(*node);
}

Result<limitr::CloudOptions> cloud_options_of(limitr_view options) {
  const auto node = node_of(options);
  if (!node.ok()) return node.error();
  return limitr::call::cloud_options(*node);
}

// Caps and event data, which come as JSON, are read as the call of that name reads them.
Result<limitr::CallOptions> call_options_of(const limitr_call_options& given) {
  limitr::CallOptions options;
  options.event = given.silent == 0;
  options.force = given.force != 0;
  if (given.overhead != nullptr) options.overhead = *given.overhead;
  options.request = text(given.request);
  if (given.event_data.size != 0) {
    limitr::Json data = limitr::Json::parse(text(given.event_data), nullptr, false);
    // What cannot be read is handed on as text, for the engine to refuse.
    options.event_data = data.is_discarded() ? limitr::Json(text(given.event_data)) : data;
  }
  if (given.caps.size == 0) return options;
  auto caps = limitr::call::caps_from(text(given.caps));
  if (!caps.ok()) return caps.error();
  options.caps = std::move(*caps);
  return options;
}

// Makes a call with the options that are given, or with those that every call without any shares.
template <typename Make>
int decide(limitr_engine* engine, const limitr_call_options* given, limitr_decision* decision,
           limitr_error** error, const Make& make) {
  return guarded(error, -1, [&] {
    if (engine == nullptr) return decided(no_engine, decision, error);
    if (given == nullptr) {
      return decided(make(engine->limitr, limitr::default_call_options), decision, error);
    }
    const auto options = call_options_of(*given);
    if (!options.ok()) return decided(options.error(), decision, error);
    return decided(make(engine->limitr, *options), decision, error);
  });
}

// Runs `body(engine, error)` where there is an engine.
template <typename T, typename Body>
T with(limitr_engine* engine, T failed, limitr_error** error, const Body& body) {
  return guarded(error, failed, [&] {
    if (engine != nullptr) return body(engine->limitr);
    set_error(error, no_engine);
    return failed;
  });
}

class HostClock final : public limitr::Clock {
public:
  HostClock(int64_t (*read)(void*), void* data) : now_(read), data_(data) {}
  limitr::Timestamp now() const override { return limitr::timestamp_from_ms(now_(data_)); }

private:
  int64_t (*const now_)(void*);
  void* const data_;
};

class HostFailure final : public std::exception {
public:
  const char* what() const noexcept override { return "it says that it failed"; }
};

limitr_event event_of(const limitr::Event& event) {
  return {.type = view(event.type),
          .customer = view(event.customer),
          .payload = view(event.payload),
          .at = limitr::to_ms(event.at)};
}

void add(const limitr_host_function& given, limitr::HostFunctions& functions) {
  const std::string name(text(given.name));
  if (given.overhead != nullptr) {
    functions.overhead[name] = [given](double units, const limitr::Json& event_data) {
      const std::string data = limitr::to_json_text(event_data);
      double runes = 0;
      if (given.overhead(given.data, units, view(data), &runes) == 0) throw HostFailure();
      return runes;
    };
  }
  if (given.rate != nullptr) {
    functions.rates[name] = [given] {
      double rate = 0;
      if (given.rate(given.data, &rate) == 0) throw HostFailure();
      return rate;
    };
  }
  if (given.notification != nullptr) {
    functions.notifications[name] = [given](const limitr::Event& event) {
      const limitr_event seen = event_of(event);
      int matches = 0;
      if (given.notification(given.data, &seen, &matches) == 0) throw HostFailure();
      return matches != 0;
    };
  }
}

limitr::Options& engine_part(limitr::Options& options) { return options; }
limitr::Options& engine_part(limitr::CloudOptions& options) { return options.engine; }

void add(const limitr_host& host, limitr::Options& options) {
  if (host.now != nullptr) options.clock = std::make_shared<HostClock>(host.now, host.data);
  if (host.log != nullptr) {
    options.log = [log = host.log, data = host.data](std::string_view message) {
      log(data, view(message));
    };
  }
  for (size_t i = 0; i < host.function_count; ++i) add(host.functions[i], options.host);
}

// Opens what `open_engine` makes of the options that `read` gives.
template <typename Read, typename Open>
limitr_engine* open(limitr_view given, const limitr_host* host, limitr_error** error,
                    const Read& read, const Open& open_engine) {
  // Released whatever happens from here on.
  std::shared_ptr<void> held;
  return guarded(error, static_cast<limitr_engine*>(nullptr), [&]() -> limitr_engine* {
    if (host != nullptr && host->release != nullptr) held.reset(host->data, host->release);
    auto options = read(given);
    if (!options.ok()) {
      set_error(error, options.error());
      return nullptr;
    }
    limitr::Options& engine = engine_part(*options);
    if (host != nullptr) add(*host, engine);
    if (!engine.clock) engine.clock = limitr::system_clock();
    auto clock = engine.clock;
    auto opened = open_engine(std::move(*options));
    if (!opened.ok()) {
      set_error(error, opened.error());
      return nullptr;
    }
    return new limitr_engine{std::move(*opened), std::move(clock), std::move(held)};
  });
}

struct DocumentOptions {
  limitr::Format format;
  limitr::DocumentBounds bounds;
};

Result<DocumentOptions> document_options(limitr_view given) {
  const auto options = options_of(given);
  if (!options.ok()) return options.error();
  return DocumentOptions{options->format, options->bounds};
}

template <typename List>
std::string json_text(const List& list) {
  std::string text;
  limitr::JsonWriter out(text);
  limitr::call::write(out, list);
  return text;
}

}  // namespace

extern "C" {

limitr_view limitr_version(void) { return view(Limitr::version()); }

limitr_engine* limitr_open(limitr_view policy, limitr_view options, const limitr_host* host,
                           limitr_error** error) {
  return open(options, host, error, options_of,
              [&](limitr::Options made) { return Limitr::open(text(policy), std::move(made)); });
}

limitr_engine* limitr_open_stored(limitr_view options, const limitr_host* host,
                                  limitr_error** error) {
  return open(options, host, error, options_of,
              [](limitr::Options made) { return Limitr::open_stored(std::move(made)); });
}

limitr_engine* limitr_open_cloud(limitr_view options, const limitr_host* host,
                                 limitr_error** error) {
  return open(options, host, error, cloud_options_of,
              [](limitr::CloudOptions made) { return Limitr::cloud(std::move(made)); });
}

void limitr_engine_free(limitr_engine* engine) {
  // The engine goes before what its host is called with.
  std::unique_ptr<limitr_engine> freed(engine);
}

limitr_string* limitr_validate(limitr_view policy, limitr_view options, limitr_error** error) {
  return guarded(error, static_cast<limitr_string*>(nullptr), [&]() -> limitr_string* {
    const auto how = document_options(options);
    if (!how.ok()) return answered(Result<std::string>(how.error()), error);
    return made(json_text(limitr::validate_policy(text(policy), how->format, how->bounds)));
  });
}

limitr_string* limitr_difference(limitr_view before, limitr_view before_options, limitr_view after,
                                 limitr_view after_options, limitr_error** error) {
  return guarded(error, static_cast<limitr_string*>(nullptr), [&]() -> limitr_string* {
    const auto old = document_options(before_options);
    if (!old.ok()) return answered(Result<std::string>(old.error()), error);
    const auto now = document_options(after_options);
    if (!now.ok()) return answered(Result<std::string>(now.error()), error);
    const auto found =
        limitr::diff_policies(text(before), old->format, text(after), now->format, now->bounds);
    if (!found.ok()) return answered(Result<std::string>(found.error()), error);
    return made(json_text(*found));
  });
}

int limitr_allow(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                 limitr_value value, const limitr_call_options* options, limitr_decision* decision,
                 limitr_error** error) {
  return decide(engine, options, decision, error, [&](Limitr& limitr, const auto& how) {
    return limitr.allow(text(customer), text(entitlement), value_of(value), how);
  });
}

int limitr_check(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                 limitr_value value, const limitr_call_options* options, limitr_decision* decision,
                 limitr_error** error) {
  return decide(engine, options, decision, error, [&](Limitr& limitr, const auto& how) {
    return limitr.check(text(customer), text(entitlement), value_of(value), how);
  });
}

int limitr_set(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
               limitr_value value, const limitr_call_options* options, limitr_decision* decision,
               limitr_error** error) {
  return decide(engine, options, decision, error, [&](Limitr& limitr, const auto& how) {
    return limitr.set(text(customer), text(entitlement), value_of(value), how);
  });
}

int limitr_increment(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                     const limitr_call_options* options, limitr_decision* decision,
                     limitr_error** error) {
  return decide(engine, options, decision, error, [&](Limitr& limitr, const auto& how) {
    return limitr.increment(text(customer), text(entitlement), how);
  });
}

int limitr_decrement(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                     const limitr_call_options* options, limitr_decision* decision,
                     limitr_error** error) {
  return decide(engine, options, decision, error, [&](Limitr& limitr, const auto& how) {
    return limitr.decrement(text(customer), text(entitlement), how);
  });
}

int limitr_check_increment(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                           const limitr_call_options* options, limitr_decision* decision,
                           limitr_error** error) {
  return decide(engine, options, decision, error, [&](Limitr& limitr, const auto& how) {
    return limitr.check_increment(text(customer), text(entitlement), how);
  });
}

int limitr_check_decrement(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                           const limitr_call_options* options, limitr_decision* decision,
                           limitr_error** error) {
  return decide(engine, options, decision, error, [&](Limitr& limitr, const auto& how) {
    return limitr.check_decrement(text(customer), text(entitlement), how);
  });
}

void limitr_allow_async(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                        limitr_value value, const limitr_call_options* options,
                        limitr_on_decision then, void* data) {
  const auto tell = [then, data](const Result<Decision>& answer) {
    if (answer.ok()) {
      limitr_decision decision;
      put(*answer, &decision);
      return then(data, &decision, nullptr);
    }
    const limitr_error error = error_of(answer.error());
    then(data, nullptr, &error);
  };
  limitr_error* failure = nullptr;
  guarded(&failure, 0, [&] {
    if (engine == nullptr) return tell(no_engine), 0;
    Result<limitr::CallOptions> how = limitr::default_call_options;
    if (options != nullptr) how = call_options_of(*options);
    if (!how.ok()) return tell(how.error()), 0;
    engine->limitr.allow_async({.customer = text(customer),
                                .entitlement = text(entitlement),
                                .value = value_of(value),
                                .options = *how},
                               tell);
    return 0;
  });
  if (failure != nullptr) then(data, nullptr, failure);
}

limitr_handle* limitr_handle_find(limitr_engine* engine, limitr_view customer,
                                  limitr_view entitlement, limitr_error** error) {
  return with(engine, static_cast<limitr_handle*>(nullptr), error,
              [&](Limitr& limitr) -> limitr_handle* {
                const auto found = limitr.handle(text(customer), text(entitlement));
                if (!found.ok()) set_error(error, found.error());
                return found.ok() && *found ? new limitr_handle{**found} : nullptr;
              });
}

int limitr_handle_allow(limitr_engine* engine, const limitr_handle* handle, limitr_value value,
                        const limitr_call_options* options, limitr_decision* decision,
                        limitr_error** error) {
  return decide(
      engine, options, decision, error, [&](Limitr& limitr, const auto& how) -> Result<Decision> {
        if (handle == nullptr) {
          return Error{.code = ErrorCode::invalid_argument, .message = "the handle is NULL"};
        }
        return limitr.allow(handle->handle, value_of(value), how);
      });
}

int limitr_handle_check(limitr_engine* engine, const limitr_handle* handle, limitr_value value,
                        const limitr_call_options* options, limitr_decision* decision,
                        limitr_error** error) {
  return decide(
      engine, options, decision, error, [&](Limitr& limitr, const auto& how) -> Result<Decision> {
        if (handle == nullptr) {
          return Error{.code = ErrorCode::invalid_argument, .message = "the handle is NULL"};
        }
        return limitr.check(handle->handle, value_of(value), how);
      });
}

void limitr_handle_free(limitr_handle* handle) { delete handle; }

limitr_string* limitr_reserve(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                              const limitr_value* value, limitr_error** error) {
  return with(engine, static_cast<limitr_string*>(nullptr), error,
              [&](Limitr& limitr) -> limitr_string* {
                limitr::ReserveOptions how;
                if (value != nullptr) how.value = value_of(*value);
                auto hold = limitr.reserve(text(customer), text(entitlement), how);
                if (!hold.ok()) return answered(Result<std::string>(hold.error()), error);
                return *hold ? made(std::move(**hold)) : nullptr;
              });
}

int limitr_settle(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                  limitr_view hold, limitr_value value, limitr_decision* decision,
                  limitr_error** error) {
  return with(engine, -1, error, [&](Limitr& limitr) {
    return decided(limitr.settle(text(customer), text(entitlement), text(hold), value_of(value)),
                   decision, error);
  });
}

int limitr_release_hold(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                        limitr_view hold, limitr_error** error) {
  return with(engine, -1, error, [&](Limitr& limitr) {
    return answered(limitr.release(text(customer), text(entitlement), text(hold)), error);
  });
}

int limitr_ensure_customer(limitr_engine* engine, limitr_view id, limitr_view plan,
                           limitr_error** error) {
  return with(engine, -1, error, [&](Limitr& limitr) {
    return answered(limitr.ensure_customer(text(id), {.plan = text(plan)}), error);
  });
}

int limitr_delete_customer(limitr_engine* engine, limitr_view id, limitr_error** error) {
  return with(engine, -1, error,
              [&](Limitr& limitr) { return answered(limitr.delete_customer(text(id)), error); });
}

limitr_string* limitr_customers(limitr_engine* engine, limitr_error** error) {
  return with(engine, static_cast<limitr_string*>(nullptr), error,
              [&](Limitr& limitr) { return answered(limitr.customers(), error); });
}

limitr_string* limitr_export_state(limitr_engine* engine, limitr_error** error) {
  return with(engine, static_cast<limitr_string*>(nullptr), error,
              [&](Limitr& limitr) { return answered(limitr.export_state(), error); });
}

limitr_string* limitr_load_customers(limitr_engine* engine, limitr_view records,
                                     limitr_error** error) {
  return with(engine, static_cast<limitr_string*>(nullptr), error, [&](Limitr& limitr) {
    return answered(limitr::call::answer(limitr.load_customers(text(records))), error);
  });
}

int limitr_value_of(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                    double* number, limitr_error** error) {
  return with(engine, -1, error, [&](Limitr& limitr) {
    return answered(limitr.value(text(customer), text(entitlement)), number, error);
  });
}

int limitr_limit_of(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                    double* number, limitr_error** error) {
  return with(engine, -1, error, [&](Limitr& limitr) {
    return answered(limitr.limit(text(customer), text(entitlement)), number, error);
  });
}

int limitr_remaining_of(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                        double* number, limitr_error** error) {
  return with(engine, -1, error, [&](Limitr& limitr) {
    return answered(limitr.remaining(text(customer), text(entitlement)), number, error);
  });
}

int limitr_warm(limitr_engine* engine, const limitr_view* ids, size_t count, limitr_error** error) {
  return with(engine, -1, error, [&](Limitr& limitr) {
    std::vector<std::string> names;
    for (size_t i = 0; i < count; ++i) names.emplace_back(text(ids[i]));
    return answered(limitr.warm(names), error);
  });
}

int limitr_flush(limitr_engine* engine, limitr_error** error) {
  return with(engine, -1, error, [&](Limitr& limitr) { return answered(limitr.flush(), error); });
}

int limitr_close(limitr_engine* engine, uint64_t* written, limitr_error** error) {
  return with(engine, -1, error, [&](Limitr& limitr) {
    const auto closed = limitr.close();
    if (!closed.ok()) return answered(Result<void>(closed.error()), error);
    if (written != nullptr) *written = *closed;
    return 0;
  });
}

void limitr_add_handler(limitr_engine* engine, limitr_view name, limitr_on_event handler,
                        void* data, limitr_release release) {
  std::shared_ptr<void> held;
  guarded(nullptr, 0, [&] {
    if (release != nullptr) held.reset(data, release);
    if (engine == nullptr || handler == nullptr) return 0;
    engine->limitr.add_handler(text(name), [handler, data, held](const limitr::Event& event) {
      const limitr_event seen = event_of(event);
      handler(data, &seen);
    });
    return 0;
  });
}

int limitr_remove_handler(limitr_engine* engine, limitr_view name) {
  return with(engine, 0, nullptr,
              [&](Limitr& limitr) { return limitr.remove_handler(text(name)) ? 1 : 0; });
}

void limitr_clear_handlers(limitr_engine* engine) {
  with(engine, 0, nullptr, [](Limitr& limitr) {
    limitr.clear_handlers();
    return 0;
  });
}

limitr_string* limitr_calls(void) {
  return guarded(nullptr, static_cast<limitr_string*>(nullptr),
                 [] { return made(limitr::call::calls_text()); });
}

limitr_string* limitr_call(limitr_engine* engine, limitr_view name, limitr_view arguments,
                           limitr_error** error) {
  return with(engine, static_cast<limitr_string*>(nullptr), error, [&](Limitr& limitr) {
    return answered(
        limitr::call::make_call(limitr, text(name), text(arguments), engine->clock->now()), error);
  });
}

void limitr_call_async(limitr_engine* engine, limitr_view name, limitr_view arguments,
                       limitr_on_answer then, void* data) {
  struct Made {
    std::string name;
    Result<limitr::policy::Node> arguments;
    limitr::call::Answer answer;
  };
  const auto fail = [then, data](const Error& from) {
    const limitr_error error = error_of(from);
    then(data, {nullptr, 0}, &error);
  };
  limitr_error* failure = nullptr;
  guarded(&failure, 0, [&] {
    if (engine == nullptr) return fail(no_engine), 0;
    if (text(name) == "close") {
      return fail({.code = ErrorCode::invalid_argument,
                   .message = "close waits for all other calls: call limitr_close()"}),
             0;
    }
    const auto made =
        std::make_shared<Made>(Made{.name = std::string(text(name)),
                                    .arguments = limitr::call::read_arguments(text(arguments)),
                                    .answer = {}});
    engine->limitr.run_async(
        [made, engine] {
          made->answer = limitr::call::make_call(engine->limitr, made->name, made->arguments,
                                                 engine->clock->now());
        },
        [made, then, data, fail](const Result<void>& safe) {
          if (made->answer.error) return fail(*made->answer.error);
          if (!safe.ok()) return fail(safe.error());
          const std::string json = limitr::call::json_text(made->answer);
          then(data, view(json), nullptr);
        },
        limitr::call::customer_in(made->arguments));
    return 0;
  });
  if (failure != nullptr) then(data, {nullptr, 0}, failure);
}

limitr_view limitr_string_view(const limitr_string* string) {
  return string == nullptr ? limitr_view{nullptr, 0}
                           : limitr_view{string->text.c_str(), string->text.size()};
}

void limitr_string_free(limitr_string* string) { delete string; }

int limitr_error_code(const limitr_error* error) { return error == nullptr ? 0 : error->code; }

limitr_view limitr_error_name(const limitr_error* error) {
  return error == nullptr ? limitr_view{nullptr, 0} : view(error->name);
}

limitr_view limitr_error_message(const limitr_error* error) {
  return error == nullptr ? limitr_view{nullptr, 0} : view(error->message);
}

limitr_view limitr_error_where(const limitr_error* error) {
  return error == nullptr ? limitr_view{nullptr, 0} : view(error->where);
}

void limitr_error_free(limitr_error* error) {
  if (error != &no_memory) delete error;
}

}  // extern "C"
