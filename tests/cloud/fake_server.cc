// SPDX-License-Identifier: Apache-2.0
#include "fake_server.h"

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "store/memory_store.h"

namespace limitr::testing {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using asio::awaitable;
using asio::ip::tcp;
using beast::error_code;
using Plain = beast::tcp_stream;
using Tls = beast::ssl_stream<beast::tcp_stream>;

constexpr auto awaited = asio::as_tuple(asio::use_awaitable);

// Each way to call it runs on the server's thread.
class Connection {
public:
  virtual ~Connection() = default;
  virtual void send(std::string text) = 0;
  virtual void cut() = 0;
  virtual void close(std::uint16_t code, const std::string& reason) = 0;
};

template <typename Stream>
class Socket final : public Connection, public std::enable_shared_from_this<Socket<Stream>> {
public:
  explicit Socket(Stream stream) : socket(std::move(stream)) {
    socket.auto_fragment(false);
    socket.text(true);
    socket.read_message_max(std::size_t{128} << 20);
  }

  void send(std::string text) override {
    waiting_.push_back(std::move(text));
    if (waiting_.size() == 1) write();
  }
  void cut() override { beast::get_lowest_layer(socket).close(); }
  void close(std::uint16_t code, const std::string& reason) override {
    const websocket::close_reason why(static_cast<websocket::close_code>(code), reason);
    socket.async_close(why, [self = this->shared_from_this()](error_code) {});
  }

  websocket::stream<Stream> socket;

private:
  void write() {
    socket.async_write(asio::buffer(waiting_.front()),
                       [this, self = this->shared_from_this()](error_code error, std::size_t) {
                         waiting_.pop_front();
                         if (!error && !waiting_.empty()) write();
                       });
  }

  std::deque<std::string> waiting_;
};

std::string type_in(const std::string& text) { return Json::parse(text).value("type", ""); }

}  // namespace

class FakeServer::Impl {
public:
  explicit Impl(const std::string& certificate) : is_tls_(!certificate.empty()) {
    if (is_tls_) {
      tls_.use_certificate_chain_file(certificate + ".pem");
      tls_.use_private_key_file(certificate + ".key", asio::ssl::context::pem);
    }
    listen({asio::ip::make_address("127.0.0.1"), 0});
    store_ = store_of("nobody");
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Impl() {
    io_.stop();
    thread_.join();
    connections_.clear();
    engines_.clear();
  }

  std::string address() const {
    return fmt::format("{}://127.0.0.1:{}", is_tls_ ? "https" : "http", port_);
  }

  // Runs on the server's thread, and waits for it.
  void run(std::function<void()> work) {
    std::promise<void> done;
    asio::post(io_, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  // On any port that is free.
  void listen(const tcp::endpoint& at) {
    acceptor_.emplace(io_, at);
    port_ = acceptor_->local_endpoint().port();
    asio::co_spawn(io_, accept(), asio::detached);
  }
  void listen_again() {
    acceptor_.emplace(io_, tcp::endpoint(asio::ip::make_address("127.0.0.1"), port_));
    asio::co_spawn(io_, accept(), asio::detached);
  }
  void stop_listening() { acceptor_->close(); }

  template <typename Work>
  void each_connection(const Work& work) {
    // What closes one takes it out.
    const auto connections = connections_;
    for (const auto& connection : connections) work(*connection);
  }

  wire::Reply answer_of(const wire::Request& request) {
    using namespace wire;
    Reply reply{.n = request.n, .body = Done{}};
    const auto fail = [&](const Error& error) { reply.body = Failed{error}; };
    if (std::holds_alternative<Hello>(request.body)) {
      const std::lock_guard lock(mutex_);
      reply.body = settings_.welcome;
    } else if (const auto* read = std::get_if<Read>(&request.body)) {
      auto rows = store_->read(read->ids);
      rows.ok() ? void(reply.body = Rows{*std::move(rows)}) : fail(rows.error());
    } else if (const auto* exchange = std::get_if<Exchange>(&request.body)) {
      auto results = store_->exchange(exchange->transactions);
      results.ok() ? void(reply.body = Exchangeds{*std::move(results)}) : fail(results.error());
    } else if (const auto* scan = std::get_if<Scan>(&request.body)) {
      Rows rows;
      (void)store_->scan_after(scan->after, [&](store::StoredCustomer customer) {
        rows.more = rows.rows.size() == scan->limit;
        if (!rows.more) rows.rows.push_back(std::move(customer));
        return !rows.more;
      });
      reply.body = std::move(rows);
    } else if (const auto* estimates = std::get_if<Estimates>(&request.body)) {
      if (estimates->text) estimates_ = estimates->text;
      reply.body = Estimates{estimates_};
    } else if (std::holds_alternative<Renew>(request.body)) {
      const std::lock_guard lock(mutex_);
      reply.body = Renewed{.lease = settings_.welcome.lease, .now = {}};
    } else if (const auto* recall = std::get_if<RecallHomes>(&request.body)) {
      reply.body = recalled(*recall);
    }
    return reply;
  }

  // Asks engines that are connected; those that are not are lost.
  wire::Recalled recalled(const wire::RecallHomes& recall) {
    wire::Recalled recalled;
    for (const wire::HomeOf& home : recall.homes) {
      const auto found = engines_.find(home.engine);
      if (found == engines_.end()) {
        recalled.lost.push_back(home.engine);
      } else {
        found->second->send(
            wire::encode(wire::Reply{.n = {}, .body = wire::RecallCustomers{home.ids}}));
      }
    }
    return recalled;
  }

  void set(const std::function<void(ServerSettings&)>& change) {
    const std::lock_guard lock(mutex_);
    change(settings_);
  }

  std::string wait_for(const std::string& type, std::size_t count) {
    std::unique_lock lock(mutex_);
    const auto has_come = [&] { return came_[type].size() >= count; };
    if (!changed_.wait_for(lock, std::chrono::seconds(20), has_come)) return {};
    return came_[type].back();
  }
  std::size_t count(const std::string& type) {
    const std::lock_guard lock(mutex_);
    return came_[type].size();
  }

  std::set<std::shared_ptr<Connection>> connections_;  // of the server's thread

private:
  awaitable<void> accept() {
    for (;;) {
      auto [error, peer] = co_await acceptor_->async_accept(awaited);
      if (error) co_return;
      if (is_tls_) {
        asio::co_spawn(io_, serve_tls(std::move(peer)), asio::detached);
      } else {
        asio::co_spawn(io_, serve(Plain(std::move(peer))), asio::detached);
      }
    }
  }

  awaitable<void> serve_tls(tcp::socket peer) {
    Tls stream(Plain(std::move(peer)), tls_);
    auto [error] = co_await stream.async_handshake(asio::ssl::stream_base::server, awaited);
    if (!error) co_await serve(std::move(stream));
  }

  template <typename Stream>
  awaitable<void> serve(Stream stream) {
    beast::get_lowest_layer(stream).socket().set_option(tcp::no_delay(true));
    beast::flat_buffer buffer;
    for (;;) {
      http::request<http::string_body> request;
      auto [error, size] = co_await http::async_read(stream, buffer, request, awaited);
      if (error) co_return;
      if (websocket::is_upgrade(request)) {
        if (!take_ticket(std::string(request.target()))) co_return;
        auto socket = std::make_shared<Socket<Stream>>(std::move(stream));
        auto [refused] = co_await socket->socket.async_accept(request, awaited);
        if (!refused) co_await talk(std::move(socket));
        co_return;
      }
      http::response<http::string_body> response = ticket_for(request);
      const bool keeps = response.keep_alive();
      auto [unsent, written] = co_await http::async_write(stream, response, awaited);
      if (unsent || !keeps) co_return;
    }
  }

  http::response<http::string_body> ticket_for(const http::request<http::string_body>& request) {
    const std::lock_guard lock(mutex_);
    http::response<http::string_body> response(http::status::ok, 11);
    const Json body = Json::parse(request.body(), nullptr, false);
    if (!settings_.gives_tickets) {
      response.result(http::status::service_unavailable);
      response.body() = R"({"error":{"code":"store_unavailable","message":"come back later"}})";
    } else if (request.target() != "/wss/ticket" || body.value("token", "") != settings_.token) {
      response.result(http::status::unauthorized);
      response.body() = R"({"error":{"code":"unauthorized","message":"it was revoked"}})";
    } else {
      tickets_.insert(fmt::format("t+/{}", ++last_ticket_));
      response.body() =
          Json{{"ticket", fmt::format("t+/{}", last_ticket_)}, {"expires_in", 30}}.dump();
    }
    response.keep_alive(settings_.keeps_connection);
    response.prepare_payload();
    return response;
  }

  bool take_ticket(const std::string& target) {
    const std::lock_guard lock(mutex_);
    const std::string prefix = "/wss?ticket=t%2B%2F";
    return target.starts_with(prefix) && tickets_.erase("t+/" + target.substr(prefix.size())) == 1;
  }

  // Each engine numbers its transactions, and a store object has the numbers of one.
  store::Store* store_of(const std::string& engine) {
    std::unique_ptr<store::Store>& store = stores_[engine];
    if (store) return store.get();
    store = store::memory_store(fmt::format("server on {}", port_));
    const store::Owner owner{.host = "test", .process = 1, .since = {}};
    if (!store->open(store::Access::share, owner).ok()) std::abort();
    return store.get();
  }

  template <typename Stream>
  awaitable<void> talk(std::shared_ptr<Socket<Stream>> socket) {
    connections_.insert(socket);
    store::Store* store = store_;
    std::string engine;
    beast::flat_buffer buffer;
    for (;;) {
      auto [error, size] = co_await socket->socket.async_read(buffer, awaited);
      if (error) break;
      const std::string text = beast::buffers_to_string(buffer.data());
      buffer.consume(buffer.size());
      const Result<wire::Request> request = wire::decode_request(text);
      if (!request.ok()) {
        std::fprintf(stderr, "a request that is none: %s\n", request.error().to_string().c_str());
        break;
      }
      if (const auto* hello = std::get_if<wire::Hello>(&request->body)) {
        engine = hello->engine;
        engines_[engine] = socket;
        store = store_of(engine);
      }
      store_ = store;
      std::function<std::optional<wire::Reply>(const wire::Request&)> answer;
      {
        const std::lock_guard lock(mutex_);
        came_[type_in(text)].push_back(text);
        answer = settings_.answer;
      }
      changed_.notify_all();
      const std::optional<wire::Reply> reply = answer ? answer(*request) : answer_of(*request);
      if (reply) socket->send(wire::encode(*reply));
      if (std::holds_alternative<wire::Bye>(request->body)) socket->close(1000, "good-bye");
    }
    connections_.erase(socket);
    if (const auto found = engines_.find(engine);
        found != engines_.end() && found->second == socket) {
      engines_.erase(found);
    }
  }

  const bool is_tls_;
  asio::ssl::context tls_{asio::ssl::context::tls_server};
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::optional<tcp::acceptor> acceptor_;
  std::uint16_t port_ = 0;
  std::map<std::string, std::shared_ptr<Connection>> engines_;
  std::map<std::string, std::unique_ptr<store::Store>> stores_;
  store::Store* store_ = nullptr;  // of who spoke last
  std::optional<std::string> estimates_;

  std::mutex mutex_;
  std::condition_variable changed_;
  ServerSettings settings_;  // guarded by mutex_, like the rest of these
  std::map<std::string, std::vector<std::string>> came_;
  std::set<std::string> tickets_;
  int last_ticket_ = 0;

  std::thread thread_;
};

FakeServer::FakeServer(const std::string& certificate)
    : impl_(std::make_unique<Impl>(certificate)) {}
FakeServer::~FakeServer() = default;

std::string FakeServer::address() const { return impl_->address(); }
void FakeServer::set(const std::function<void(ServerSettings&)>& change) { impl_->set(change); }
wire::Reply FakeServer::answer_of(const wire::Request& request) {
  return impl_->answer_of(request);
}
void FakeServer::cut() {
  impl_->run([this] { impl_->each_connection([](Connection& connection) { connection.cut(); }); });
}
void FakeServer::close(std::uint16_t code, const std::string& reason) {
  impl_->run([&] {
    impl_->each_connection([&](Connection& connection) { connection.close(code, reason); });
  });
}
void FakeServer::say(const wire::Reply& message) { say(wire::encode(message)); }
void FakeServer::say(const std::string& text) {
  impl_->run(
      [&] { impl_->each_connection([&](Connection& connection) { connection.send(text); }); });
}
void FakeServer::stop_listening() {
  impl_->run([this] { impl_->stop_listening(); });
}
void FakeServer::listen_again() {
  impl_->run([this] { impl_->listen_again(); });
}
std::string FakeServer::wait_for(const std::string& type, std::size_t count) {
  return impl_->wait_for(type, count);
}
std::size_t FakeServer::count(const std::string& type) const { return impl_->count(type); }
std::size_t FakeServer::connections() const {
  std::size_t count = 0;
  impl_->run([&] { count = impl_->connections_.size(); });
  return count;
}

void make_certificate(const std::string& name, const std::string& host) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, host.c_str());
  X509_add_ext(certificate, names, -1);
  X509_sign(certificate, key, EVP_sha256());
  std::FILE* file = std::fopen((name + ".pem").c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = std::fopen((name + ".key").c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_EXTENSION_free(names);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

}  // namespace limitr::testing
