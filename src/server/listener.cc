// SPDX-License-Identifier: Apache-2.0
#include "server/listener.h"

#include <chrono>
#include <deque>
#include <optional>
#include <type_traits>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include <fmt/format.h>

#include "server/log.h"

// How a connection lives:
//
//   accepted --TLS--> request <----. answered
//                        | '-------'
//                        '--- upgrade, admitted ---> WebSocket: one read and one write at a time
//
// Each request, with the TLS before it, has one deadline from its beginning to its end, however
// slowly it trickles. A WebSocket is closed when it is silent for too long, pongs being enough.
namespace limitr::server {
namespace listening {

/// What connections share with their listener, and keep as long as they need it.
struct Shared {
  const ListenerOptions options;
  const Routes& routes;
  Sockets& sockets;
  bool is_stopping = false;
  std::size_t connections = 0;
  SessionId last_id = 0;
};

}  // namespace listening

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::steady_clock;

using Plain = beast::tcp_stream;
using Tls = beast::ssl_stream<beast::tcp_stream>;

constexpr std::uint32_t max_header = 8 << 10U;
/// How long a connection may take to close.
constexpr std::chrono::seconds closing_time{3};
/// A buffer that has grown beyond this is let go of when its message is done.
constexpr std::size_t kept_buffer = 4 << 10U;
/// What a close frame can say.
constexpr std::size_t max_reason = 123;

using listening::Shared;

/// One of the connections that are counted.
class Counted {
public:
  explicit Counted(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {
    ++shared_->connections;
  }
  Counted(Counted&&) = default;
  Counted& operator=(Counted&&) = delete;
  Counted(const Counted&) = delete;
  ~Counted() {
    if (shared_) --shared_->connections;
  }
  Shared* operator->() const { return shared_.get(); }

private:
  std::shared_ptr<Shared> shared_;
};

std::string cut_short(const std::string& reason) {
  std::size_t size = std::min(reason.size(), max_reason);
  // Not within a character.
  while (size < reason.size() && size > 0 &&
         (static_cast<unsigned char>(reason[size]) & 0xc0U) == 0x80U) {
    --size;
  }
  return reason.substr(0, size);
}

template <typename Stream>
class WebSocket final : public Socket, public std::enable_shared_from_this<WebSocket<Stream>> {
public:
  WebSocket(Stream stream, Counted shared)
      : shared_(std::move(shared)), ws_(std::move(stream)), id_(++shared_->last_id) {}

  void run(const http::request<http::string_body>& request, Caller caller) {
    const ListenerOptions& options = shared_->options;
    websocket::stream_base::timeout times{};
    times.handshake_timeout = options.handshake;
    times.idle_timeout = options.idle;
    times.keep_alive_pings = true;
    ws_.set_option(times);
    ws_.read_message_max(options.max_message);
    ws_.auto_fragment(false);
    ws_.text(true);
    ws_.control_callback([this](websocket::frame_type kind, beast::string_view) {
      if (kind == websocket::frame_type::ping) count_ping();
    });
    ws_.async_accept(request, [self = this->shared_from_this(),
                               caller = std::move(caller)](error_code failed) mutable {
      if (failed) return;
      self->is_open_ = true;
      self->shared_->sockets.opened(self->id_, self, std::move(caller));
      self->read();
    });
  }

  void send(std::shared_ptr<const std::string> text) override {
    if (closing_) return;
    queued_ += text->size();
    queue_.push_back(std::move(text));
    if (queued_ > shared_->options.max_outbound) {
      return close(wire::Close::too_slow,
                   fmt::format("more than {} bytes wait to be read (--max-outbound)",
                               shared_->options.max_outbound));
    }
    if (!is_writing_) write();
  }

  std::size_t unsent() const override { return queued_; }

  void close(wire::Close code, const std::string& reason) override {
    if (closing_) return;
    shared_->sockets.closing(id_, code, reason);
    closing_ = websocket::close_reason(static_cast<websocket::close_code>(code), cut_short(reason));
    // Whoever does not read gets no more; what is being written stays.
    if (code == wire::Close::too_slow) queue_.resize(is_writing_ ? 1 : 0);
    deadline_.emplace(ws_.get_executor(), closing_time);
    deadline_->async_wait([self = this->shared_from_this()](error_code stopped) {
      if (!stopped) beast::get_lowest_layer(self->ws_).close();
    });
    if (!is_writing_) write();
  }

private:
  void read() {
    ws_.async_read(buffer_, [self = this->shared_from_this()](error_code failed, std::size_t) {
      self->has_read(failed);
    });
  }

  void has_read(error_code failed) {
    if (failed) return ended();
    if (!closing_ && !ws_.got_text()) {
      close(wire::Close::not_text, "messages are text");
    } else if (!closing_) {
      const auto data = buffer_.cdata();
      shared_->sockets.received(id_, {static_cast<const char*>(data.data()), data.size()});
    }
    buffer_.consume(buffer_.size());
    if (buffer_.capacity() > kept_buffer) buffer_ = {};
    read();
  }

  void write() {
    if (queue_.empty()) {
      if (closing_) finish();
      return;
    }
    is_writing_ = true;
    ws_.async_write(asio::buffer(*queue_.front()),
                    [self = this->shared_from_this()](error_code failed, std::size_t) {
                      self->is_writing_ = false;
                      if (failed) return;  // Reading fails too, and ends it.
                      self->queued_ -= self->queue_.front()->size();
                      self->queue_.pop_front();
                      self->write();
                    });
  }

  void finish() {
    ws_.async_close(*closing_, [self = this->shared_from_this()](error_code) {
      if (self->deadline_) self->deadline_->cancel();
    });
  }

  void ended() {
    if (deadline_) deadline_->cancel();
    if (std::exchange(is_open_, false)) shared_->sockets.closed(id_);
  }

  // Called within a read, which must not close.
  void count_ping() {
    const auto now = steady_clock::now();
    if (now - second_began_ >= std::chrono::seconds(1)) {
      second_began_ = now;
      pings_ = 0;
    }
    if (++pings_ != shared_->options.max_pings + 1) return;
    asio::post(ws_.get_executor(), [self = this->shared_from_this()] {
      self->close(wire::Close::broken_rule,
                  fmt::format("more than {} pings in a second", self->shared_->options.max_pings));
    });
  }

  Counted shared_;
  websocket::stream<Stream, false> ws_;
  const SessionId id_;
  beast::flat_buffer buffer_;
  std::deque<std::shared_ptr<const std::string>> queue_;
  std::size_t queued_ = 0;  // bytes
  bool is_open_ = false;
  bool is_writing_ = false;
  std::optional<websocket::close_reason> closing_;
  std::optional<asio::steady_timer> deadline_;
  steady_clock::time_point second_began_;
  std::size_t pings_ = 0;  // since then
};

template <typename Stream>
class HttpSession final : public std::enable_shared_from_this<HttpSession<Stream>> {
public:
  HttpSession(Stream stream, std::string address, Counted shared)
      : shared_(std::move(shared)),
        stream_(std::move(stream)),
        address_(std::move(address)),
        deadline_(stream_.get_executor()) {}

  void run() {
    must_end_in(shared_->options.handshake);
    if constexpr (std::is_same_v<Stream, Tls>) {
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [self = this->shared_from_this()](error_code failed) {
                                if (!failed) self->read();
                              });
    } else {
      read();
    }
  }

private:
  using Request = http::request<http::string_body>;

  // A timer of its own: the stream's is never looked at while there is always something to read,
  // which is so for whoever sends faster than a busy server reads.
  void must_end_in(steady_clock::duration time) {
    deadline_.expires_after(time);
    deadline_.async_wait([weak = this->weak_from_this()](error_code stopped) {
      const auto self = stopped ? nullptr : weak.lock();
      if (self) beast::get_lowest_layer(self->stream_).close();
    });
  }

  void read() {
    parser_.emplace();
    parser_->header_limit(max_header);
    parser_->body_limit(shared_->options.max_body);
    http::async_read(stream_, buffer_, *parser_,
                     [self = this->shared_from_this()](error_code failed, std::size_t) {
                       self->has_read(failed);
                     });
  }

  void has_read(error_code failed) {
    if (failed == http::error::end_of_stream) return hang_up();
    if (failed == http::error::body_limit) {
      return respond(http_error(
          413, "too_large",
          fmt::format("the body has more than {} bytes (--max-body)", shared_->options.max_body)));
    }
    if (failed == http::error::header_limit || failed == http::error::buffer_overflow) {
      return respond(http_error(431, "too_large",
                                fmt::format("the header has more than {} bytes", max_header)));
    }
    if (failed && failed.category() == make_error_code(http::error::bad_method).category()) {
      return respond(
          http_error(400, "bad_request", "this is no HTTP request: " + failed.message()));
    }
    if (failed) return;
    deadline_.cancel();
    const Request request = parser_->release();
    keeps_alive_ = request.keep_alive();
    HttpRequest asked = read_request(request);
    if (websocket::is_upgrade(request)) return upgrade(request, asked);
    shared_->routes.handle(asked, [self = this->shared_from_this()](HttpResponse response) {
      self->respond(std::move(response));
    });
  }

  HttpRequest read_request(const Request& request) const {
    const std::string_view target(request.target().data(), request.target().size());
    const std::size_t mark = std::min(target.find('?'), target.size());
    const auto header = [&](http::field name) {
      const auto value = request[name];
      return std::string(value.data(), value.size());
    };
    HttpRequest asked{.method = std::string(request.method_string()),
                      .path = std::string(target.substr(0, mark)),
                      .query = std::string(target.substr(std::min(mark + 1, target.size()))),
                      .body = request.body(),
                      .address = address_,
                      .authorization = header(http::field::authorization)};
    if (!shared_->options.is_behind_proxy) return asked;
    const auto forwarded = request["X-Forwarded-For"];
    std::string_view last(forwarded.data(), forwarded.size());
    last = last.substr(last.rfind(',') == std::string_view::npos ? 0 : last.rfind(',') + 1);
    last.remove_prefix(std::min(last.find_first_not_of(' '), last.size()));
    if (!last.empty()) asked.address = std::string(last);
    return asked;
  }

  void upgrade(const Request& request, const HttpRequest& asked) {
    if (shared_->is_stopping) return respond(http_error(503, "stopping", "the server stops"));
    auto admitted = shared_->sockets.admit(asked);
    if (auto* refused = std::get_if<HttpResponse>(&admitted)) return respond(std::move(*refused));
    auto socket = std::make_shared<WebSocket<Stream>>(std::move(stream_), std::move(shared_));
    socket->run(request, std::get<Caller>(std::move(admitted)));
  }

  void respond(HttpResponse given) {
    const bool is_whole = parser_ && parser_->is_done();
    keeps_alive_ = keeps_alive_ && is_whole && !shared_->is_stopping;
    response_ = {static_cast<http::status>(given.status), 11};
    response_.set(http::field::content_type, given.content_type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    if (given.retry_after > Millis(0)) {
      response_.set(http::field::retry_after,
                    std::to_string((given.retry_after.count() + 999) / 1000));
    }
    response_.keep_alive(keeps_alive_);
    response_.body() = std::move(given.body);
    response_.prepare_payload();
    must_end_in(shared_->options.handshake);
    http::async_write(stream_, response_,
                      [self = this->shared_from_this()](error_code failed, std::size_t) {
                        if (failed) return;
                        if (!self->keeps_alive_) return self->hang_up();
                        self->must_end_in(self->shared_->options.handshake);
                        self->read();
                      });
  }

  void hang_up() {
    must_end_in(closing_time);
    if constexpr (std::is_same_v<Stream, Tls>) {
      stream_.async_shutdown([self = this->shared_from_this()](error_code) {});
    } else {
      error_code ignored;
      stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
      drop_rest();
    }
  }

  // What is still on its way is read, until the other side has closed: else it would be told that
  // the connection broke, and might not see the answer.
  void drop_rest() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(max_header),
                            [self = this->shared_from_this()](error_code failed, std::size_t) {
                              if (!failed) self->drop_rest();
                            });
  }

  Counted shared_;
  Stream stream_;
  const std::string address_;
  asio::steady_timer deadline_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  bool keeps_alive_ = false;
};

Error cannot(const std::string& what, const error_code& why) {
  return {.code = ErrorCode::io_failed,
          .message = fmt::format("cannot {}: {}", what, why.message())};
}

}  // namespace

struct Listener::Parts {
  Parts(asio::io_context& io, const ListenerOptions& options, const Routes& routes,
        Sockets& sockets)
      : shared(std::make_shared<Shared>(
            Shared{.options = options, .routes = routes, .sockets = sockets})),
        acceptor(io),
        pause(io) {}

  Result<void> load_tls() {
    const ListenerOptions& options = shared->options;
    if (options.tls_cert.empty()) return {};
    tls.emplace(asio::ssl::context::tls_server);
    error_code failed;
    (void)tls->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                               asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                               asio::ssl::context::no_tlsv1_1 | asio::ssl::context::no_compression,
                           failed);
    if (failed) return cannot("set up TLS", failed);
    ::SSL_CTX_set_mode(tls->native_handle(), SSL_MODE_RELEASE_BUFFERS);
    (void)tls->use_certificate_chain_file(options.tls_cert, failed);
    if (failed) return cannot(fmt::format("use the certificate `{}`", options.tls_cert), failed);
    (void)tls->use_private_key_file(options.tls_key, asio::ssl::context::pem, failed);
    if (failed) return cannot(fmt::format("use the key `{}`", options.tls_key), failed);
    return {};
  }

  Result<void> listen() {
    const ListenerOptions& options = shared->options;
    const std::string where = fmt::format("listen on {}:{}", options.host, options.port);
    error_code failed;
    const auto address = asio::ip::make_address(options.host, failed);
    if (failed) return cannot(where, failed);
    const tcp::endpoint endpoint(address, options.port);
    (void)acceptor.open(endpoint.protocol(), failed);
    if (!failed) (void)acceptor.set_option(tcp::acceptor::reuse_address(true), failed);
    if (!failed) (void)acceptor.bind(endpoint, failed);
    if (!failed) (void)acceptor.listen(asio::socket_base::max_listen_connections, failed);
    if (failed) return cannot(where, failed);
    return {};
  }

  void accept() {
    acceptor.async_accept([this](error_code failed, tcp::socket socket) {
      if (failed == asio::error::operation_aborted || !acceptor.is_open()) return;
      if (failed) return wait_and_accept(failed);
      if (shared->connections >= shared->options.max_connections) {
        refuse(std::move(socket));
      } else {
        begin(std::move(socket));
      }
      accept();
    });
  }

  // Out of files, most likely: some will close.
  void wait_and_accept(const error_code& failed) {
    log(Level::error, "cannot_accept", {{"error", failed.message()}});
    pause.expires_after(std::chrono::milliseconds(100));
    pause.async_wait([this](error_code stopped) {
      if (!stopped && acceptor.is_open()) accept();
    });
  }

  void begin(tcp::socket socket) {
    error_code failed;
    (void)socket.set_option(tcp::no_delay(true), failed);
    const tcp::endpoint peer = socket.remote_endpoint(failed);
    if (failed) return;
    std::string address = peer.address().to_string();
    if (tls) {
      std::make_shared<HttpSession<Tls>>(Tls(beast::tcp_stream(std::move(socket)), *tls),
                                         std::move(address), Counted(shared))
          ->run();
    } else {
      std::make_shared<HttpSession<Plain>>(Plain(std::move(socket)), std::move(address),
                                           Counted(shared))
          ->run();
    }
  }

  // As well as can be said without waiting.
  void refuse(tcp::socket socket) const {
    if (tls) return;
    const HttpResponse response =
        http_error(503, "too_many",
                   fmt::format("there are {} connections already (--max-connections)",
                               shared->options.max_connections));
    const std::string text = fmt::format(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
        "Connection: close\r\nRetry-After: 1\r\n\r\n{}",
        response.content_type, response.body.size(), response.body);
    error_code ignored;
    (void)socket.non_blocking(true, ignored);
    (void)socket.write_some(asio::buffer(text), ignored);
    (void)socket.shutdown(tcp::socket::shutdown_send, ignored);
  }

  const std::shared_ptr<listening::Shared> shared;
  std::optional<asio::ssl::context> tls;
  tcp::acceptor acceptor;
  asio::steady_timer pause;
};

Listener::Listener(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Listener::~Listener() = default;

Result<std::unique_ptr<Listener>> Listener::open(asio::io_context& io,
                                                 const ListenerOptions& options,
                                                 const Routes& routes, Sockets& sockets) {
  auto parts = std::make_unique<Parts>(io, options, routes, sockets);
  if (auto loaded = parts->load_tls(); !loaded.ok()) return std::move(loaded).error();
  if (auto listens = parts->listen(); !listens.ok()) return std::move(listens).error();
  return std::unique_ptr<Listener>(new Listener(std::move(parts)));
}

std::string Listener::url() const {
  error_code failed;
  const tcp::endpoint endpoint = parts_->acceptor.local_endpoint(failed);
  const bool is_v6 = endpoint.address().is_v6();
  return fmt::format("{}://{}{}{}:{}", parts_->tls ? "https" : "http", is_v6 ? "[" : "",
                     endpoint.address().to_string(), is_v6 ? "]" : "", endpoint.port());
}

void Listener::start() { parts_->accept(); }

void Listener::stop() {
  parts_->shared->is_stopping = true;
  error_code ignored;
  (void)parts_->acceptor.close(ignored);
  parts_->pause.cancel();
}

std::size_t Listener::connections() const { return parts_->shared->connections; }

}  // namespace limitr::server
