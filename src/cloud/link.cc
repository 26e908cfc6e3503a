// SPDX-License-Identifier: Apache-2.0
#include "cloud/link.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "base/json_writer.h"
#include "cloud/address.h"
#include "cloud/session.h"
#include "env/boot_clock.h"
#include "env/random_ids.h"

// One thread runs the connection: it is the only one to touch the socket, the session and what
// waits for answers. Callers write their message as text, post it to that thread, and wait each on
// a condition of its own.
namespace limitr::cloud {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
namespace websocket = beast::websocket;
using asio::awaitable;
using asio::ip::tcp;
using beast::error_code;
using env::BootClock;
using Plain = beast::tcp_stream;
using Tls = beast::ssl_stream<beast::tcp_stream>;
template <typename Stream>
using Socket = websocket::stream<Stream>;

constexpr auto awaited = asio::as_tuple(asio::use_awaitable);
// A message is masked, and written, in pieces of this size.
constexpr std::size_t write_piece = std::size_t{64} << 10;
// What a reply took is given back beyond it.
constexpr std::size_t most_kept = std::size_t{1} << 20;
// Rows that others have changed, and that nobody has asked for yet.
constexpr std::size_t most_changed = 512;
constexpr std::size_t most_changed_bytes = std::size_t{4} << 20;
constexpr std::size_t max_ticket_reply = std::size_t{64} << 10;

// Why there is no connection.
struct Trouble {
  Error error;
  bool is_final = false;  // at first: there is no use in trying again

  explicit Trouble(std::string message)
      : error{.code = ErrorCode::unconnected, .message = std::move(message), .where = {}} {}
  Trouble(Error why, bool final) : error(std::move(why)), is_final(final) {}
};

// A value, or what was in the way.
template <typename T>
using Tried = std::variant<T, Trouble>;

// A request on its way.
struct Call {
  enum class Stage : std::uint8_t { queued, sent, withdrawn };

  std::uint64_t n = 0;
  std::string text;
  BootClock::time_point sent = {};  // known to the connection's thread only
  std::atomic<Stage> stage{Stage::queued};
  std::mutex mutex;
  std::condition_variable answered;
  std::optional<Result<wire::Reply>> answer;  // guarded by mutex

  // False: whoever waited has gone.
  bool leave(Stage to) {
    Stage from = Stage::queued;
    return stage.compare_exchange_strong(from, to);
  }
  void finish(Result<wire::Reply> with) {
    {
      const std::lock_guard lock(mutex);
      answer.emplace(std::move(with));
    }
    answered.notify_one();
  }
};
using CallPointer = std::shared_ptr<Call>;

Error error_of(ErrorCode code, std::string message) {
  return {.code = code, .message = std::move(message), .where = {}};
}

// A ticket as it can stand in a URL.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (is_plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// What the body of an answer says was wrong, if it says it.
std::string said_in(const std::string& body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return {};
  const Json& error = json.contains("error") ? json["error"] : json;
  if (!error.is_object() || !error.contains("message") || !error["message"].is_string()) return {};
  return ": " + error["message"].get<std::string>();
}

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32U) | device();
}

}  // namespace

class Link::Impl {
public:
  Impl(LinkOptions options, Address address)
      : options_(std::move(options)),
        address_(std::move(address)),
        session_(BootClock::now(), random_seed()) {}

  ~Impl() {
    stop();
    // What a handler still asks for fails by now.
    notices_.on_recall(nullptr);
    notices_.on_policy(nullptr);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Errors: a file of certificates that cannot be read.
  Result<void> prepare() {
    if (!address_.is_tls) return {};
    error_code error;
    if (options_.ca_file.empty()) {
      (void)tls_.set_default_verify_paths(error);
    } else {
      (void)tls_.load_verify_file(options_.ca_file, error);
    }
    if (!error) (void)tls_.set_verify_mode(ssl::verify_peer, error);
    if (!error) return {};
    return error_of(ErrorCode::invalid_argument,
                    fmt::format("the certificates in `{}` cannot be read: {}", options_.ca_file,
                                error.message()));
  }

  // Starts, and waits until there is a connection, or there can be none.
  Result<void> start() {
    asio::co_spawn(io_, run(), asio::detached);
    thread_ = std::thread([this] { io_.run(); });
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, options_.connect_timeout,
                      [this] { return was_connected_ || is_ended_; });
    if (was_connected_) return {};
    if (why_) return *why_;
    return error_of(ErrorCode::unconnected,
                    fmt::format("{} did not answer within {} ms", options_.address,
                                options_.connect_timeout.count()));
  }

  std::uint64_t next_number() { return ++last_n_; }

  Result<wire::Reply> ask(std::uint64_t n, std::string text, Millis timeout) {
    auto call = std::make_shared<Call>();
    call->n = n;
    call->text = std::move(text);
    if (!is_connected()) return unconnected();
    if (call->text.size() > max_message()) return too_large(call->text.size());
    if (!hand_in(call)) return unconnected();
    std::unique_lock lock(call->mutex);
    if (call->answered.wait_for(lock, timeout, [&] { return call->answer.has_value(); })) {
      return *std::move(call->answer);
    }
    if (call->leave(Call::Stage::withdrawn)) {
      return error_of(
          ErrorCode::unconnected,
          fmt::format("the server takes no more requests; waited {} ms", timeout.count()));
    }
    return error_of(ErrorCode::outcome_unknown,
                    fmt::format("the server did not answer within {} ms", timeout.count()));
  }

  const std::string& engine() const { return engine_; }
  bool is_connected() const { return is_connected_.load(std::memory_order_acquire); }
  bool is_leased() const {
    return BootClock::now().time_since_epoch().count() <
           leased_until_.load(std::memory_order_acquire);
  }
  Error unconnected() const {
    const std::lock_guard lock(mutex_);
    return why_ ? *why_ : closed();
  }
  std::string server() const {
    const std::lock_guard lock(mutex_);
    return server_;
  }
  std::size_t max_message() const { return max_message_.load(std::memory_order_relaxed); }
  std::vector<store::StoredCustomer> take_changed() {
    const std::lock_guard lock(rows_mutex_);
    std::vector<store::StoredCustomer> rows;
    rows.reserve(changed_rows_.size());
    for (auto& [id, row] : changed_rows_) rows.push_back(std::move(row));
    drop_changed();
    return rows;
  }
  wire::PolicyVersion policy() const {
    const std::lock_guard lock(mutex_);
    return policy_;
  }
  Notices& notices() { return notices_; }

  void begin_parting() {
    asio::post(io_, [this] { is_closing_ = true; });
  }
  // Lets the server close the connection after a good-bye; not for long.
  void part() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, Millis(1000), [this] { return is_ended_; });
  }

  void stop() {
    is_connected_ = false;
    leased_until_ = 0;
    {
      const std::lock_guard lock(inbox_mutex_);
      is_stopped_ = true;
    }
    io_.stop();
    if (thread_.joinable()) thread_.join();
    // The thread is gone: what was its alone is ours.
    write_ = nullptr;
    take_inbox();
    fail_all(closed());
  }

private:
  // Whoever is first wakes the thread for all who come until it looks. False: it is gone.
  bool hand_in(const CallPointer& call) {
    {
      const std::lock_guard lock(inbox_mutex_);
      if (is_stopped_) return false;
      inbox_.push_back(call);
      if (inbox_.size() != 1) return true;
    }
    asio::post(io_, [this] { take_inbox(); });
    return true;
  }
  void take_inbox() {
    std::vector<CallPointer> calls;
    {
      const std::lock_guard lock(inbox_mutex_);
      calls.swap(inbox_);
    }
    for (CallPointer& call : calls) submit(std::move(call));
  }

  static Error closed() { return error_of(ErrorCode::unconnected, "the engine was closed"); }
  Error too_large(std::size_t size) const {
    return error_of(ErrorCode::invalid_argument,
                    fmt::format("the message has {} bytes, and the server takes {} at most", size,
                                max_message()));
  }

  // The connection's life. All from here on run on its thread.

  awaitable<void> run() {
    for (;;) {
      session_.connecting();
      std::optional<Trouble> trouble;
      try {
        // gcc 12 destroys what one `?:` of both awaits twice.
        if (address_.is_tls) {
          trouble = co_await live<Tls>();
        } else {
          trouble = co_await live<Plain>();
        }
      } catch (const std::exception& error) {  // Nothing of ours throws: memory has run out.
        trouble = Trouble(error.what());
      }
      disconnected(*trouble);
      if (is_closing_ || (trouble->is_final && !was_welcomed_)) break;
      pause_.expires_after(session_.next() - BootClock::now());
      co_await pause_.async_wait(awaited);
    }
    const std::lock_guard lock(mutex_);
    is_ended_ = true;
    changed_.notify_all();
  }

  // Connects, and serves the connection until it ends. Why it did.
  template <typename Stream>
  awaitable<Trouble> live() {
    begin_deadline();
    Tried<std::shared_ptr<Socket<Stream>>> opened = co_await open_socket<Stream>();
    if (auto* trouble = std::get_if<Trouble>(&opened)) co_return in_time(std::move(*trouble));
    const auto socket = std::get<0>(std::move(opened));
    const BootClock::time_point sent = BootClock::now();
    Tried<wire::Welcome> greeted = co_await greet(*socket);
    if (auto* trouble = std::get_if<Trouble>(&greeted)) co_return in_time(std::move(*trouble));
    end_deadline();
    write_ = [socket](std::string_view text, std::function<void(error_code)> done) {
      socket->async_write(asio::buffer(text), [socket, done = std::move(done)](
                                                  error_code error, std::size_t) { done(error); });
    };
    connected(sent, std::get<0>(std::move(greeted)));
    Trouble why = co_await listen(*socket);
    co_return why;
  }

  // A try that takes too long is cut; what fails then has failed for that reason.
  void begin_deadline() {
    is_late_ = false;
    deadline_.expires_after(options_.connect_timeout);
    deadline_.async_wait([this, number = ++deadlines_](error_code error) {
      if (error || number != deadlines_) return;
      is_late_ = true;
      if (cut_) cut_();
    });
  }
  void end_deadline() {
    ++deadlines_;  // Its handler may be on its way.
    deadline_.cancel();
  }
  Trouble in_time(Trouble trouble) {
    end_deadline();
    if (!is_late_) return trouble;
    return Trouble(fmt::format("{} did not answer within {} ms", options_.address,
                               options_.connect_timeout.count()));
  }

  template <typename Stream>
  awaitable<Tried<std::unique_ptr<Stream>>> open_stream() {
    tcp::resolver resolver(io_);
    auto [not_found, found] =
        co_await resolver.async_resolve(address_.host, address_.port, awaited);
    if (not_found) {
      co_return Trouble(
          fmt::format("the host `{}` cannot be resolved: {}", address_.host, not_found.message()));
    }
    if (is_late_) co_return Trouble("late");
    auto stream = [this] {
      if constexpr (std::is_same_v<Stream, Tls>) {
        return std::make_unique<Tls>(io_, tls_);
      } else {
        return std::make_unique<Plain>(io_);
      }
    }();
    Plain& connection = beast::get_lowest_layer(*stream);
    cut_ = [&connection] { connection.close(); };
    auto [refused, endpoint] = co_await connection.async_connect(found, awaited);
    if (refused) {
      co_return Trouble(
          fmt::format("cannot connect to {}: {}", address_.authority(), refused.message()));
    }
    error_code ignored;
    (void)connection.socket().set_option(tcp::no_delay(true), ignored);
    if constexpr (std::is_same_v<Stream, Tls>) {
      std::optional<Trouble> trouble = co_await shake_hands(*stream);
      if (trouble) co_return *std::move(trouble);
    }
    co_return stream;
  }

  awaitable<std::optional<Trouble>> shake_hands(Tls& stream) {
    error_code is_name;
    asio::ip::make_address(address_.host, is_name);
    if (is_name) SSL_set_tlsext_host_name(stream.native_handle(), address_.host.c_str());
    stream.set_verify_callback(ssl::host_name_verification(address_.host));
    auto [failed] = co_await stream.async_handshake(ssl::stream_base::client, awaited);
    if (!failed) co_return std::nullopt;
    const long verified = SSL_get_verify_result(stream.native_handle());
    if (verified != X509_V_OK) {
      co_return Trouble(fmt::format("the certificate of {} is not accepted: {}",
                                    address_.authority(), X509_verify_cert_error_string(verified)));
    }
    co_return Trouble(
        fmt::format("no TLS connection with {}: {}", address_.authority(), failed.message()));
  }

  template <typename Stream>
  awaitable<Tried<std::shared_ptr<Socket<Stream>>>> open_socket() {
    Tried<std::unique_ptr<Stream>> opened = co_await open_stream<Stream>();
    if (auto* trouble = std::get_if<Trouble>(&opened)) co_return std::move(*trouble);
    std::unique_ptr<Stream> stream = std::get<0>(std::move(opened));

    Tried<Ticket> asked = co_await ask_for_ticket(*stream);
    if (auto* trouble = std::get_if<Trouble>(&asked)) co_return std::move(*trouble);
    const Ticket& ticket = std::get<0>(asked);
    if (!ticket.keeps_connection) {
      opened = co_await open_stream<Stream>();
      if (auto* trouble = std::get_if<Trouble>(&opened)) co_return std::move(*trouble);
      stream = std::get<0>(std::move(opened));
    }

    auto socket = std::make_shared<Socket<Stream>>(std::move(*stream));
    cut_ = [socket] { beast::get_lowest_layer(*socket).close(); };
    socket->read_message_max(max_reply);
    socket->write_buffer_bytes(write_piece);
    socket->auto_fragment(false);
    socket->text(true);
    socket->set_option(websocket::stream_base::decorator([this](websocket::request_type& request) {
      request.set(http::field::user_agent, agent());
    }));
    websocket::response_type response;
    const std::string host = address_.authority();
    const std::string target =
        fmt::format("{}/wss?ticket={}", address_.prefix, escaped(ticket.text));
    auto [failed] = co_await socket->async_handshake(response, host, target, awaited);
    if (failed == websocket::error::upgrade_declined) {
      co_return Trouble(fmt::format("the server answered {} to the upgrade of the connection{}",
                                    response.result_int(), said_in(response.body())));
    }
    if (failed) co_return broken_off(failed);
    co_return socket;
  }

  struct Ticket {
    std::string text;
    bool keeps_connection = false;
  };

  template <typename Stream>
  awaitable<Tried<Ticket>> ask_for_ticket(Stream& stream) {
    http::request<http::string_body> request(http::verb::post, address_.prefix + "/wss/ticket", 11);
    request.set(http::field::host, address_.authority());
    request.set(http::field::user_agent, agent());
    request.set(http::field::content_type, "application/json");
    JsonWriter(request.body()).begin_object().field("token", options_.token).end_object();
    request.prepare_payload();
    auto [unsent, written] = co_await http::async_write(stream, request, awaited);
    if (unsent) co_return broken_off(unsent);

    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(max_ticket_reply);
    auto [unread, read] = co_await http::async_read(stream, buffer, parser, awaited);
    if (unread) co_return broken_off(unread);
    const auto& response = parser.get();
    if (response.result() == http::status::unauthorized) {
      co_return Trouble(
          error_of(ErrorCode::unauthorized,
                   fmt::format("the server does not accept the token{}", said_in(response.body()))),
          true);
    }
    const Json json = Json::parse(response.body(), nullptr, /*allow_exceptions=*/false);
    if (response.result() != http::status::ok || !json.is_object() || !json.contains("ticket") ||
        !json["ticket"].is_string()) {
      co_return Trouble(fmt::format("{} answered {} to the request for a ticket{}",
                                    options_.address, response.result_int(),
                                    said_in(response.body())));
    }
    co_return Ticket{.text = json["ticket"].get<std::string>(),
                     .keeps_connection = response.keep_alive()};
  }

  template <typename Stream>
  awaitable<Tried<wire::Welcome>> greet(Socket<Stream>& socket) {
    const std::uint64_t n = ++last_n_;
    const std::string hello = wire::encode(
        wire::Request{.n = n,
                      .body = wire::Hello{.engine = engine_,
                                          .limitr = options_.limitr,
                                          .policy = options_.policy,
                                          .deny_unconnected = options_.deny_unconnected}});
    auto [unsent, written] = co_await socket.async_write(asio::buffer(hello), awaited);
    if (unsent) co_return broken_off(unsent, &socket.reason());
    beast::flat_buffer buffer;
    auto [unread, read] = co_await socket.async_read(buffer, awaited);
    if (unread) co_return broken_off(unread, &socket.reason());
    Result<wire::Reply> reply = wire::decode_reply(text_in(buffer));
    if (!reply.ok()) co_return unreadable(reply.error());
    if (auto* failed = std::get_if<wire::Failed>(&reply->body)) {
      const bool is_final = failed->error.code == ErrorCode::unauthorized ||
                            failed->error.code == ErrorCode::invalid_argument;
      co_return Trouble(std::move(failed->error), is_final);
    }
    auto* welcome = std::get_if<wire::Welcome>(&reply->body);
    if (welcome == nullptr || welcome->lease <= Millis(0)) {
      co_return Trouble("the server did not answer with a welcome and a lease");
    }
    co_return std::move(*welcome);
  }

  template <typename Stream>
  awaitable<Trouble> listen(Socket<Stream>& socket) {
    beast::flat_buffer buffer;
    for (;;) {
      auto [failed, size] = co_await socket.async_read(buffer, awaited);
      if (failed) co_return broken_off(failed, &socket.reason());
      session_.heard(BootClock::now());
      take(text_in(buffer));
      buffer.consume(buffer.size());
      if (buffer.capacity() > most_kept) buffer.shrink_to_fit();
      wake();
    }
  }

  static std::string_view text_in(const beast::flat_buffer& buffer) {
    return {static_cast<const char*>(buffer.data().data()), buffer.size()};
  }

  Trouble broken_off(error_code error, const websocket::close_reason* closed = nullptr) {
    if (is_silent_) return Trouble("the server said nothing for too long");
    if (error != websocket::error::closed || closed == nullptr) {
      return Trouble(
          fmt::format("the connection to {} broke off: {}", options_.address, error.message()));
    }
    std::string message =
        fmt::format("the server closed the connection ({}{}{})", closed->code,
                    closed->reason.empty() ? "" : ": ",
                    std::string_view(closed->reason.data(), closed->reason.size()));
    if (closed->code == static_cast<std::uint16_t>(wire::Close::revoked)) {
      return Trouble(error_of(ErrorCode::unauthorized, std::move(message)), true);
    }
    const bool is_final = closed->code == static_cast<std::uint16_t>(wire::Close::wrong_version);
    return Trouble(error_of(ErrorCode::unconnected, std::move(message)), is_final);
  }
  static Trouble unreadable(const Error& error) {
    return Trouble(fmt::format("what the server says cannot be read: {}", error.to_string()));
  }
  std::string agent() const { return fmt::format("limitr/{}", options_.limitr); }

  void connected(BootClock::time_point sent, wire::Welcome welcome) {
    session_.welcomed(sent, BootClock::now(), welcome.lease);
    note_lease();
    max_message_ = welcome.max_message;
    const bool is_first = !was_welcomed_;
    const bool is_new_policy = !is_first && (welcome.policy.version != policy_version_ ||
                                             welcome.policy.document != document_);
    note_policy(welcome.policy);
    {
      const std::lock_guard lock(mutex_);
      server_ = std::move(welcome.server);
      if (is_first) policy_ = welcome.policy;
      was_connected_ = true;
      why_.reset();
    }
    was_welcomed_ = true;
    is_connected_ = true;
    changed_.notify_all();
    if (!is_first) options_.log("connected to the Cloud server again");
    logged_.clear();
    if (is_new_policy) notices_.change_policy(std::move(welcome.policy));
    wake();
  }

  void disconnected(const Trouble& trouble) {
    const bool is_refused = trouble.error.code == ErrorCode::unauthorized;
    Error why = trouble.error;
    // Once there was a connection, whatever else is wrong may pass.
    if (!is_refused && was_welcomed_) why.code = ErrorCode::unconnected;
    {
      const std::lock_guard lock(mutex_);
      why_ = why;
    }
    is_connected_ = false;
    is_refused ? session_.refused(BootClock::now()) : session_.broken(BootClock::now());
    timer_.cancel();
    wakes_at_.reset();
    write_ = nullptr;
    cut_ = nullptr;
    is_writing_ = is_silent_ = false;
    ++connection_;
    fail_all(why);
    if (!is_closing_ && was_welcomed_) log_trouble(why);
  }

  // Once for each that is new.
  void log_trouble(const Error& why) {
    const bool is_refused = why.code == ErrorCode::unauthorized;
    const std::string_view kind = is_refused ? to_string(why.code) : why.message;
    if (logged_ == kind) return;
    logged_ = kind;
    if (!is_refused) {
      options_.log(
          fmt::format("no connection to the Cloud server, which is tried again: {}", why.message));
      return;
    }
    const auto pause = std::chrono::ceil<std::chrono::seconds>(session_.next() - BootClock::now());
    options_.log(
        fmt::format("the Cloud server does not accept the token of this engine any more, and calls "
                    "that need the server fail: close the engine, and open one with another token "
                    "(`limitr token create` makes one). This one is tried again in {} s, and then "
                    "as seldom: {}",
                    pause.count(), why.message));
  }

  void fail_all(const Error& why) {
    for (const auto& [n, call] : std::exchange(sent_, {})) {
      call->finish(error_of(ErrorCode::outcome_unknown, why.message));
    }
    for (const CallPointer& call : std::exchange(queue_, {})) call->finish(why);
  }

  void note_lease() {
    leased_until_.store(session_.leased_until().time_since_epoch().count(),
                        std::memory_order_release);
  }
  void note_changed(std::vector<store::StoredCustomer> rows) {
    const std::lock_guard lock(rows_mutex_);
    for (store::StoredCustomer& row : rows) {
      // An engine that takes none can do without.
      if (changed_rows_.size() >= most_changed || changed_bytes_ >= most_changed_bytes) {
        drop_changed();
      }
      changed_bytes_ += wire::size_of(row);
      std::string id = row.id;
      changed_rows_.insert_or_assign(std::move(id), std::move(row));
    }
  }
  void drop_changed() {
    changed_rows_.clear();
    changed_bytes_ = 0;
  }

  void note_policy(const wire::PolicyVersion& policy) {
    policy_version_ = policy.version;
    document_ = policy.document;
  }

  // Does what is due, and comes back when it may be more.
  void wake() {
    switch (session_.due(BootClock::now())) {
      case Session::Task::renew: renew(); break;
      case Session::Task::cut:
        is_silent_ = true;
        cut_();
        return;
      default: break;
    }
    // Mostly it is due later than it was: then it need not be set anew.
    const BootClock::time_point next = session_.next();
    if (wakes_at_ && *wakes_at_ <= next) return;
    wakes_at_ = next;
    timer_.expires_after(next - BootClock::now());
    timer_.async_wait([this](error_code error) {
      if (error) return;
      wakes_at_.reset();
      if (write_) wake();
    });
  }

  void renew() {
    auto call = std::make_shared<Call>();
    call->n = ++last_n_;
    call->text = wire::encode(wire::Request{.n = call->n, .body = wire::Renew{}});
    session_.renewing(BootClock::now());
    submit(std::move(call));
  }

  void submit(CallPointer call) {
    if (!write_) {
      call->finish(unconnected());
      return;
    }
    queue_.push_back(std::move(call));
    if (!is_writing_) write_next();
  }

  void write_next() {
    while (!queue_.empty()) {
      CallPointer call = std::move(queue_.front());
      queue_.pop_front();
      if (!call->leave(Call::Stage::sent)) continue;
      call->sent = BootClock::now();
      is_writing_ = true;
      const std::string& text = call->text;
      sent_.emplace(call->n, call);
      write_(text, [this, call, connection = connection_](error_code error) {
        if (connection != connection_) return;
        is_writing_ = false;
        if (error) {
          cut_();
        } else {
          write_next();
        }
      });
      return;
    }
  }

  void take(std::string_view text) {
    Result<wire::Reply> reply = wire::decode_reply(text);
    if (!reply.ok()) {
      // The rest of the connection may be as good as it was.
      options_.log(unreadable(reply.error()).error.message);
      if (const auto n = wire::number_of(text)) {
        answer(*n, error_of(ErrorCode::outcome_unknown, unreadable(reply.error()).error.message));
      }
      return;
    }
    if (const auto n = reply->n) {
      answer(*n, std::move(reply));
    } else if (auto* recall = std::get_if<wire::RecallCustomers>(&reply->body)) {
      notices_.recall(std::move(recall->ids));
    } else if (auto* changed = std::get_if<wire::ChangedRows>(&reply->body)) {
      note_changed(std::move(changed->rows));
    } else if (auto* policy = std::get_if<wire::PolicyVersion>(&reply->body)) {
      note_policy(*policy);
      notices_.change_policy(std::move(*policy));
    } else if (const auto* failed = std::get_if<wire::Failed>(&reply->body)) {
      options_.log("the Cloud server says: " + failed->error.to_string());
    }
  }

  void answer(std::uint64_t n, Result<wire::Reply> reply) {
    const auto found = sent_.find(n);
    if (found == sent_.end()) return;
    const CallPointer call = std::move(found->second);
    sent_.erase(found);
    std::optional<Millis> lease;
    if (reply.ok()) {
      if (const auto* renewed = std::get_if<wire::Renewed>(&reply->body)) {
        if (renewed->lease > Millis(0)) lease = renewed->lease;
      }
    }
    session_.answered(call->sent, lease);
    note_lease();
    if (reply.ok()) {
      if (auto* failed = std::get_if<wire::Failed>(&reply->body)) {
        call->finish(std::move(failed->error));
        return;
      }
    }
    call->finish(std::move(reply));
  }

  const LinkOptions options_;
  const Address address_;
  const std::string engine_ = env::new_incarnation();
  ssl::context tls_{ssl::context::tls_client};
  std::atomic<std::uint64_t> last_n_{0};
  std::atomic<bool> is_connected_{false};
  std::atomic<std::int64_t> leased_until_{0};  // by BootClock
  std::atomic<std::size_t> max_message_{0};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool was_connected_ = false;  // guarded by mutex_, like the rest of these
  bool is_ended_ = false;
  std::optional<Error> why_;  // there is no connection
  std::string server_;
  wire::PolicyVersion policy_;
  std::mutex rows_mutex_;
  // By ID; guarded by rows_mutex_, and so is the next one.
  absl::flat_hash_map<std::string, store::StoredCustomer> changed_rows_;
  std::size_t changed_bytes_ = 0;  // of all that came since there were none

  std::mutex inbox_mutex_;
  std::vector<CallPointer> inbox_;  // guarded by inbox_mutex_: handed in, and not looked at
  bool is_stopped_ = false;         // guarded by inbox_mutex_

  Notices notices_;

  // Of the connection's thread.
  asio::io_context io_{1};
  asio::steady_timer deadline_{io_};
  asio::steady_timer pause_{io_};
  asio::steady_timer timer_{io_};
  Session session_;
  bool was_welcomed_ = false;
  bool is_closing_ = false;
  bool is_late_ = false;
  bool is_silent_ = false;
  bool is_writing_ = false;
  std::uint64_t connection_ = 0;  // which one it is
  std::uint64_t deadlines_ = 0;   // how many there were
  std::function<void(std::string_view, std::function<void(error_code)>)> write_;
  std::function<void()> cut_;
  std::deque<CallPointer> queue_;
  absl::flat_hash_map<std::uint64_t, CallPointer> sent_;
  std::optional<BootClock::time_point> wakes_at_;
  std::uint64_t policy_version_ = 0;
  std::string document_;
  std::string logged_;

  std::thread thread_;
};

Link::Link(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Link::~Link() = default;

Result<std::unique_ptr<Link>> Link::connect(LinkOptions options) {
  Result<Address> address = parse_address(options.address);
  if (!address.ok()) return std::move(address).error();
  auto impl = std::make_unique<Impl>(std::move(options), *std::move(address));
  if (auto prepared = impl->prepare(); !prepared.ok()) return std::move(prepared).error();
  if (auto started = impl->start(); !started.ok()) return std::move(started).error();
  return std::unique_ptr<Link>(new Link(std::move(impl)));
}

Result<wire::Reply> Link::ask(Body body, Millis timeout) {
  const std::uint64_t n = next_number();
  return ask(n, wire::encode(wire::Request{.n = n, .body = std::move(body)}), timeout);
}
Result<wire::Reply> Link::ask(std::uint64_t n, std::string text, Millis timeout) {
  return impl_->ask(n, std::move(text), timeout);
}
std::uint64_t Link::next_number() { return impl_->next_number(); }

const std::string& Link::engine() const { return impl_->engine(); }
bool Link::is_connected() const { return impl_->is_connected(); }
bool Link::is_leased() const { return impl_->is_leased(); }
Error Link::unconnected() const { return impl_->unconnected(); }
std::string Link::server() const { return impl_->server(); }
std::size_t Link::max_message() const { return impl_->max_message(); }
std::vector<store::StoredCustomer> Link::take_changed() { return impl_->take_changed(); }
wire::PolicyVersion Link::policy() const { return impl_->policy(); }
Notices& Link::notices() { return impl_->notices(); }

Result<void> Link::close(Millis timeout) {
  // The connection that a good-bye ends is not to be made again.
  impl_->begin_parting();
  const Result<wire::Reply> done = ask(wire::Bye{}, timeout);
  if (done.ok()) impl_->part();
  impl_->stop();
  if (!done.ok()) return done.error();
  return {};
}

Error Link::unexpected() {
  return error_of(ErrorCode::outcome_unknown,
                  "the server answered with another message than asked");
}

}  // namespace limitr::cloud
