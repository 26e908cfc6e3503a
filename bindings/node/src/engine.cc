// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace limitr::node {
namespace {

limitr_view view(const std::string& text) { return {text.data(), text.size()}; }

std::string text_of(limitr_view view) {
  return view.size == 0 ? std::string() : std::string(view.data, view.size);
}

Failure failure_from(const limitr_error* error) {
  return {text_of(limitr_error_name(error)), text_of(limitr_error_message(error)),
          text_of(limitr_error_where(error))};
}

Napi::Value list_of(Napi::Env env, const Failure& failure) {
  Napi::Array list = Napi::Array::New(env, 3);
  list.Set(0U, failure.code);
  list.Set(1U, failure.message);
  list.Set(2U, failure.where);
  return list;
}

// A text of JavaScript as UTF-8: on the stack, where it is short.
class Text {
public:
  Text(napi_env env, napi_value value) {
    size_t length = 0;
    napi_get_value_string_utf8(env, value, short_.data(), short_.size(), &length);
    view_ = {short_.data(), length};
    // As much as fits without breaking a character: there may be more.
    if (length + 4 < short_.size()) return;
    napi_get_value_string_utf8(env, value, nullptr, 0, &length);
    long_.resize(length + 1);
    napi_get_value_string_utf8(env, value, long_.data(), long_.size(), &length);
    view_ = {long_.data(), length};
  }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  limitr_view view() const { return view_; }

private:
  std::array<char, 256> short_;
  std::string long_;
  limitr_view view_{};
};

// An answer, on its way to the call of that ticket.
struct Waiting {
  Mailbox* mailbox;
  double ticket;
};

void on_decision(void* data, const limitr_decision* decision, const limitr_error* error) {
  const std::unique_ptr<Waiting> waiting(static_cast<Waiting*>(data));
  if (error != nullptr) {
    waiting->mailbox->post({.kind = Message::Kind::failure,
                            .ticket = waiting->ticket,
                            .failure = failure_from(error)});
  } else {
    waiting->mailbox->post({.kind = Message::Kind::decision,
                            .ticket = waiting->ticket,
                            .allowed = decision->allowed != 0});
  }
}

void on_answer(void* data, limitr_view answer, const limitr_error* error) {
  const std::unique_ptr<Waiting> waiting(static_cast<Waiting*>(data));
  if (error != nullptr) {
    waiting->mailbox->post({.kind = Message::Kind::failure,
                            .ticket = waiting->ticket,
                            .failure = failure_from(error)});
  } else {
    waiting->mailbox->post(
        {.kind = Message::Kind::answer, .ticket = waiting->ticket, .text = text_of(answer)});
  }
}

enum class Decide : std::int32_t {
  allow,
  check,
  set,
  increment,
  decrement,
  check_increment,
  check_decrement,
};

int make(Decide kind, limitr_engine* engine, limitr_view customer, limitr_view entitlement,
         limitr_value value, limitr_error** error) {
  switch (kind) {
    case Decide::allow:
      return limitr_allow(engine, customer, entitlement, value, nullptr, nullptr, error);
    case Decide::check:
      return limitr_check(engine, customer, entitlement, value, nullptr, nullptr, error);
    case Decide::set:
      return limitr_set(engine, customer, entitlement, value, nullptr, nullptr, error);
    case Decide::increment:
      return limitr_increment(engine, customer, entitlement, nullptr, nullptr, error);
    case Decide::decrement:
      return limitr_decrement(engine, customer, entitlement, nullptr, nullptr, error);
    case Decide::check_increment:
      return limitr_check_increment(engine, customer, entitlement, nullptr, nullptr, error);
    case Decide::check_decrement:
      return limitr_check_decrement(engine, customer, entitlement, nullptr, nullptr, error);
  }
  return -1;
}

napi_value decided(napi_env env, int answer, limitr_error* error) {
  if (answer < 0) return failure_of(env, error);
  napi_value number = nullptr;
  napi_create_int32(env, answer, &number);
  return number;
}

}  // namespace

Napi::Value failure_of(Napi::Env env, limitr_error* error) {
  Napi::Value list = list_of(env, failure_from(error));
  limitr_error_free(error);
  return list;
}

// A host function of the policy, by its kind and name.
struct Engine::HostFunction {
  Engine* engine;
  std::string kind;
  std::string name;

  // Calls it with what `arguments` makes on the JavaScript thread; NaN when it failed.
  template <typename Arguments>
  double ask(const Arguments& arguments) {
    double answer = std::nan("");
    const auto run = [&] {
      const Napi::HandleScope scope(engine->Env());
      std::vector<napi_value> given = arguments(engine->Env());
      given.insert(given.begin(), {Napi::String::New(engine->Env(), kind),
                                   Napi::String::New(engine->Env(), name)});
      napi_value got = engine->call_javascript("onHost", given);
      // Leaves it as it is where nothing, or no number, came back.
      if (got != nullptr) napi_get_value_double(engine->Env(), got, &answer);
    };
    if (engine->is_javascript_thread()) {
      run();
    } else {
      engine->mailbox_->wait_for(run);
    }
    return answer;
  }

  static int overhead(void* data, double units, limitr_view event_data, double* runes) {
    *runes = static_cast<HostFunction*>(data)->ask([&](Napi::Env env) {
      return std::vector<napi_value>{Napi::Number::New(env, units),
                                     Napi::String::New(env, event_data.data, event_data.size)};
    });
    return std::isnan(*runes) ? 0 : 1;
  }
  static int rate(void* data, double* rate) {
    *rate =
        static_cast<HostFunction*>(data)->ask([](Napi::Env) { return std::vector<napi_value>(); });
    return std::isnan(*rate) ? 0 : 1;
  }
  static int notification(void* data, const limitr_event* event, int* matches) {
    const double answer = static_cast<HostFunction*>(data)->ask([&](Napi::Env env) {
      return std::vector<napi_value>{
          Napi::String::New(env, event->type.data, event->type.size),
          Napi::String::New(env, event->payload.data, event->payload.size)};
    });
    *matches = answer != 0 ? 1 : 0;
    return std::isnan(answer) ? 0 : 1;
  }

  limitr_host_function c_function() {
    return {.name = view(name),
            .data = this,
            .overhead = kind == "overhead" ? overhead : nullptr,
            .rate = kind == "rates" ? rate : nullptr,
            .notification = kind == "notifications" ? notification : nullptr};
  }
};

// Whose policy an engine has: index.cjs has the same numbers.
enum class Engine::Whose : std::int32_t { given, store, server };

// Opening may read a file or wait for a server: it is done on a thread of libuv's pool.
class Engine::Opening final : public Napi::AsyncWorker {
public:
  Opening(Engine& engine, Whose whose, std::string policy, std::string options)
      : Napi::AsyncWorker(engine.Env(), "limitr:open"),
        engine_(engine),
        alive_(Napi::Persistent(engine.Value())),
        deferred_(Napi::Promise::Deferred::New(engine.Env())),
        whose_(whose),
        policy_(std::move(policy)),
        options_(std::move(options)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    std::vector<limitr_host_function> functions;
    for (HostFunction& function : engine_.functions_) functions.push_back(function.c_function());
    const limitr_host host = {.data = &engine_,
                              .log = engine_.has_log_ ? on_log : nullptr,
                              .now = engine_.clock_ ? on_now : nullptr,
                              .release = nullptr,
                              .functions = functions.data(),
                              .function_count = functions.size()};
    switch (whose_) {
      case Whose::given:
        opened_ = limitr_open(view(policy_), view(options_), &host, &error_);
        break;
      case Whose::store: opened_ = limitr_open_stored(view(options_), &host, &error_); break;
      case Whose::server: opened_ = limitr_open_cloud(view(options_), &host, &error_); break;
    }
  }
  void OnOK() override {
    engine_.engine_ = opened_;
    if (engine_.is_shut_) engine_.shut();
    deferred_.Resolve(error_ == nullptr ? Env().Undefined() : failure_of(Env(), error_));
  }

private:
  Engine& engine_;
  Napi::ObjectReference alive_;
  Napi::Promise::Deferred deferred_;
  const Whose whose_;
  const std::string policy_;
  const std::string options_;
  limitr_engine* opened_ = nullptr;
  limitr_error* error_ = nullptr;
};

class Engine::Closing final : public Napi::AsyncWorker {
public:
  explicit Closing(Engine& engine)
      : Napi::AsyncWorker(engine.Env(), "limitr:close"),
        engine_(engine.engine_),
        alive_(Napi::Persistent(engine.Value())),
        deferred_(Napi::Promise::Deferred::New(engine.Env())) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override { limitr_close(engine_, &written_, &error_); }
  void OnOK() override {
    deferred_.Resolve(error_ == nullptr
                          ? Napi::Value(Napi::Number::New(Env(), static_cast<double>(written_)))
                          : failure_of(Env(), error_));
  }

private:
  limitr_engine* const engine_;
  Napi::ObjectReference alive_;
  Napi::Promise::Deferred deferred_;
  std::uint64_t written_ = 0;
  limitr_error* error_ = nullptr;
};

Napi::Function Engine::define(Napi::Env env) {
  return DefineClass(
      env, "Engine",
      {InstanceMethod<&Engine::open>("open"), InstanceMethod<&Engine::close>("close"),
       InstanceMethod<&Engine::call>("call"), InstanceMethod<&Engine::call_async>("callAsync"),
       InstanceMethod<&Engine::allow_async>("allowAsync"),
       InstanceMethod<&Engine::handle>("handle"),
       InstanceMethod<&Engine::drop_handles>("dropHandles"),
       InstanceMethod<&Engine::listen>("listen"), InstanceMethod<&Engine::hold>("hold")});
}

Engine::Engine(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Engine>(info) {
  const auto names = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const auto name = names.Get(i).As<Napi::Array>();
    functions_.push_back({this, name.Get(0U).As<Napi::String>(), name.Get(1U).As<Napi::String>()});
  }
  has_log_ = info[1].As<Napi::Boolean>();
  if (!info[2].IsUndefined()) clock_ = ManualClock::Unwrap(info[2].As<Napi::Object>())->now();
  mailbox_ = std::make_unique<Mailbox>(
      Env(), [this](const std::vector<Message>& messages) { deliver(messages); });
  // After the mailbox's own: hooks run last first.
  napi_add_env_cleanup_hook(Env(), on_teardown, this);
  // Functions of this engine alone, which need not look for it: that takes as long as a call does.
  // They are reached through it only, and so are not called once it is gone.
  const auto add = [&](const char* name, napi_callback function) {
    napi_value made = nullptr;
    napi_create_function(Env(), name, NAPI_AUTO_LENGTH, function, this, &made);
    Value().Set(name, Napi::Value(Env(), made));
  };
  add("decide", decide);
  add("allow", allow);
}

Engine::~Engine() {
  napi_remove_env_cleanup_hook(Env(), on_teardown, this);
  shut();
}

void Engine::on_teardown(void* engine) { static_cast<Engine*>(engine)->shut(); }

void Engine::shut() {
  // First, so that no thread of the engine waits for this one.
  mailbox_->close();
  is_shut_ = true;
  free_handles();
  limitr_engine_free(std::exchange(engine_, nullptr));
}

Napi::Value Engine::open(const Napi::CallbackInfo& info) {
  const std::int32_t whose = info[0].As<Napi::Number>();
  auto* opening = new Opening(*this, static_cast<Whose>(whose), info[1].As<Napi::String>(),
                              info[2].As<Napi::String>());
  opening->Queue();
  return opening->promise();
}

Napi::Value Engine::close(const Napi::CallbackInfo&) {
  auto* closing = new Closing(*this);
  closing->Queue();
  return closing->promise();
}

Napi::Value Engine::call(const Napi::CallbackInfo& info) {
  const Text name(Env(), info[0]);
  const Text arguments(Env(), info[1]);
  limitr_error* error = nullptr;
  limitr_string* answer = limitr_call(engine_, name.view(), arguments.view(), &error);
  if (answer == nullptr) return failure_of(Env(), error);
  const limitr_view text = limitr_string_view(answer);
  const Napi::Value value = Napi::String::New(Env(), text.data, text.size);
  limitr_string_free(answer);
  return value;
}

void Engine::call_async(const Napi::CallbackInfo& info) {
  const Text name(Env(), info[1]);
  const Text arguments(Env(), info[2]);
  auto* waiting = new Waiting{mailbox_.get(), info[0].As<Napi::Number>()};
  limitr_call_async(engine_, name.view(), arguments.view(), on_answer, waiting);
}

void Engine::allow_async(const Napi::CallbackInfo& info) {
  const Text customer(Env(), info[1]);
  const Text entitlement(Env(), info[2]);
  auto* waiting = new Waiting{mailbox_.get(), info[0].As<Napi::Number>()};
  limitr_allow_async(engine_, customer.view(), entitlement.view(),
                     limitr_number(info[3].As<Napi::Number>()), nullptr, on_decision, waiting);
}

void Engine::listen(const Napi::CallbackInfo& info) {
  const limitr_view name = limitr_text("node");
  if (info[0].As<Napi::Boolean>()) {
    limitr_add_handler(engine_, name, on_event, this, nullptr);
  } else {
    limitr_remove_handler(engine_, name);
  }
}

void Engine::hold(const Napi::CallbackInfo& info) { mailbox_->hold(info[0].As<Napi::Boolean>()); }

// (customer, entitlement): the number of a handle; undefined where one of them is unknown.
Napi::Value Engine::handle(const Napi::CallbackInfo& info) {
  const Text customer(Env(), info[0]);
  const Text entitlement(Env(), info[1]);
  limitr_handle* found = limitr_handle_find(engine_, customer.view(), entitlement.view(), nullptr);
  if (found == nullptr) return Env().Undefined();
  handles_.push_back(found);
  return Napi::Number::New(Env(), static_cast<double>(handles_.size() - 1));
}

void Engine::drop_handles(const Napi::CallbackInfo&) { free_handles(); }

void Engine::free_handles() {
  for (limitr_handle* handle : handles_) limitr_handle_free(handle);
  handles_.clear();
}

// (kind, customer, entitlement, value): 1 allowed, 0 denied, or a list: why it failed.
napi_value Engine::decide(napi_env env, napi_callback_info info) {
  std::array<napi_value, 4> given{};
  size_t count = given.size();
  void* engine = nullptr;
  napi_get_cb_info(env, info, &count, given.data(), nullptr, &engine);
  std::int32_t kind = 0;
  napi_get_value_int32(env, given[0], &kind);
  const Text customer(env, given[1]);
  const Text entitlement(env, given[2]);
  double value = 0;
  napi_get_value_double(env, given[3], &value);
  limitr_error* error = nullptr;
  const int answer = make(static_cast<Decide>(kind), static_cast<Engine*>(engine)->engine_,
                          customer.view(), entitlement.view(), limitr_number(value), &error);
  return decided(env, answer, error);
}

// (handle, value): the same for allow by a handle.
napi_value Engine::allow(napi_env env, napi_callback_info info) {
  std::array<napi_value, 2> given{};
  size_t count = given.size();
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, given.data(), nullptr, &data);
  const Engine& self = *static_cast<Engine*>(data);
  std::uint32_t handle = 0;
  napi_get_value_uint32(env, given[0], &handle);
  double value = 0;
  napi_get_value_double(env, given[1], &value);
  limitr_error* error = nullptr;
  const int answer = limitr_handle_allow(self.engine_, self.handles_[handle], limitr_number(value),
                                         nullptr, nullptr, &error);
  return decided(env, answer, error);
}

void Engine::on_event(void* data, const limitr_event* event) {
  auto& self = *static_cast<Engine*>(data);
  if (!self.is_javascript_thread()) {
    self.mailbox_->post({.kind = Message::Kind::event,
                         .name = text_of(event->type),
                         .text = text_of(event->payload)});
    return;
  }
  const Napi::HandleScope scope(self.Env());
  self.call_javascript("onEvent",
                       {Napi::String::New(self.Env(), event->type.data, event->type.size),
                        Napi::String::New(self.Env(), event->payload.data, event->payload.size)});
}

// Through the mailbox from every thread: a log that throws must not come up inside a call.
void Engine::on_log(void* data, limitr_view message) {
  static_cast<Engine*>(data)->mailbox_->post(
      {.kind = Message::Kind::log, .text = text_of(message)});
}

std::int64_t Engine::on_now(void* data) { return static_cast<Engine*>(data)->clock_->load(); }

// One list of [kind, ticket, answer] three by three: a decision's 1 or 0, an answer's text, a
// failure's list, an event's type in the place of the ticket, a line of the log.
void Engine::deliver(const std::vector<Message>& messages) {
  const Napi::HandleScope scope(Env());
  Napi::Array list = Napi::Array::New(Env(), messages.size() * 3);
  uint32_t at = 0;
  for (const Message& message : messages) {
    list.Set(at++, Napi::Number::New(Env(), static_cast<double>(message.kind)));
    if (message.kind == Message::Kind::event) {
      list.Set(at++, message.name);
    } else {
      list.Set(at++, message.ticket);
    }
    switch (message.kind) {
      case Message::Kind::decision: list.Set(at++, message.allowed ? 1 : 0); break;
      case Message::Kind::failure: list.Set(at++, list_of(Env(), message.failure)); break;
      default: list.Set(at++, message.text); break;
    }
  }
  call_javascript("onMessages", {list});
}

// With the C functions: where a worker is being ended nothing of JavaScript runs any more, at any
// point, and the classes take that for a mistake of ours.
napi_value Engine::call_javascript(const char* function, const std::vector<napi_value>& arguments) {
  napi_value self = Value();
  napi_value found = nullptr;
  napi_value answer = nullptr;
  if (napi_get_named_property(Env(), self, function, &found) == napi_ok) {
    napi_call_function(Env(), self, found, arguments.size(), arguments.data(), &answer);
  }
  // Ours catch all that they call: what is left is an end that was asked for.
  bool is_pending = false;
  if (napi_is_exception_pending(Env(), &is_pending) == napi_ok && is_pending) {
    napi_value thrown = nullptr;
    napi_get_and_clear_last_exception(Env(), &thrown);
    return nullptr;
  }
  return answer;
}

}  // namespace limitr::node
