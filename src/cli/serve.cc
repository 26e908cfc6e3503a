// SPDX-License-Identifier: Apache-2.0
#include "cli/serve.h"

#include <cstddef>
#include <functional>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include "base/quantity.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/policy_file.h"
#include "cli/store_usage.h"
#include "cli/terminal.h"

namespace limitr::cli {
namespace {

constexpr std::string_view serve_examples = R"(
Examples:
  limitr serve --policy policy.yaml       for engines on this machine, state in limitr.db
  limitr serve --store 'postgres://limitr@db/limitr' --listen 0.0.0.0:4242 \
    --tls-cert chain.pem --tls-key key.pem
  limitr serve --listen 0.0.0.0:4242 --insecure-behind-proxy
                                          where a proxy in front has the TLS

On its first start it prints a token, the only time that it can be seen, and then where it listens.
Each time the file of --policy changes its policy is put in force, for every engine at once; one that
does not validate is named in the log, and the one before stays.

On SIGTERM or SIGINT what is on its way is finished, engines are told to go, and what was written is
printed. /healthz, /readyz and /metrics are for those who watch over it. The log is on standard error.

Exit code: 0 it was asked to end, 2 it could not begin, or another has taken its store over.
)";

bool is_loopback(const std::string& host) {
  ::in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24U == 127;
  return host == "::1";
}

/// HOST:PORT into the options, or what is wrong with it.
std::string read_listen(const std::string& written, server::ListenerOptions& options) {
  const std::size_t colon = written.rfind(':');
  const auto port = colon == std::string::npos
                        ? std::nullopt
                        : whole_number(std::string_view(written).substr(colon + 1));
  if (!port || *port > 65'535) {
    return fmt::format("`{}` is no address: HOST:PORT, as in 127.0.0.1:4242", written);
  }
  std::string host = written.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  ::in6_addr found{};
  if (::inet_pton(AF_INET, host.c_str(), &found) != 1 &&
      ::inet_pton(AF_INET6, host.c_str(), &found) != 1) {
    return fmt::format(
        "`{}` is no address of this machine: an IP address, as in 127.0.0.1 or [::1]", host);
  }
  options.host = std::move(host);
  options.port = static_cast<std::uint16_t>(*port);
  return {};
}

void add_count(CLI::App& command, const std::string& name, std::size_t& count, std::size_t most,
               const std::string& what) {
  add_read_option(command, name, fmt::format("{} (default {})", what, count),
                  [&count, most](const std::string& written) -> std::string {
                    const auto number = whole_number(written);
                    if (!number || *number == 0 || *number > most) {
                      return fmt::format("`{}` is no whole number from 1 to {}", written, most);
                    }
                    count = *number;
                    return {};
                  })
      ->type_name("N");
}

void add_duration(CLI::App& command, const std::string& name, Millis& length,
                  const std::string& what) {
  constexpr Millis longest{3'600'000};
  add_read_option(command, name, fmt::format("{} (default {} s)", what, length.count() / 1000),
                  [&length, longest](const std::string& written) -> std::string {
                    const auto read = duration(Value(written));
                    if (!read.ok()) return read.error().message;
                    if (*read < Millis(100) || *read > longest) {
                      return fmt::format("`{}` is not from 100ms to 1h: say the unit too, as in 5s",
                                         written);
                    }
                    length = *read;
                    return {};
                  })
      ->type_name("DURATION");
}

/// What keeps a server from listening there; empty: nothing.
std::string unsafe(const server::ListenerOptions& options) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return "--tls-cert and --tls-key belong together";
  }
  if (!options.tls_cert.empty() || options.is_behind_proxy || is_loopback(options.host)) return {};
  return fmt::format(
      "{} is not this machine alone, and without TLS everyone on the way reads the "
      "tokens: give --tls-cert and --tls-key, or --insecure-behind-proxy where a "
      "proxy in front has the TLS",
      options.host);
}

}  // namespace

void ServeUsage::add_to(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("serve", "Serve engines that share customers (Cloud)");
  command
      .add_option("--policy", options_.policy_file, "The policy, also whenever this file changes")
      ->check(is_named())
      ->type_name("FILE");
  add_format(command, format_);
  add_store(command, options_.store, /*optional=*/true);
  add_read_option(
      command, "--listen", "Where engines come (default 127.0.0.1:4242); port 0: a free one",
      [this](const std::string& written) { return read_listen(written, options_.listen); })
      ->type_name("HOST:PORT");
  command.add_option("--tls-cert", options_.listen.tls_cert, "Certificates, as PEM")
      ->check(is_named())
      ->type_name("FILE");
  command.add_option("--tls-key", options_.listen.tls_key, "The key of the first one, as PEM")
      ->check(is_named())
      ->type_name("FILE");
  command.add_flag("--insecure-behind-proxy", options_.listen.is_behind_proxy,
                   "Plain text beyond this machine; who asks is named by X-Forwarded-For");
  add_duration(command, "--lease", options_.lease,
               "How long an engine may say nothing before others have its customers");
  add_bounds(command);
  command.footer(footer_text(serve_examples));
}

void ServeUsage::add_bounds(CLI::App& command) {
  constexpr std::size_t many = std::size_t{1} << 30U;
  server::ListenerOptions& listen = options_.listen;
  add_count(command, "--max-connections", listen.max_connections, many, "Refuse more connections");
  add_count(command, "--max-message", listen.max_message, many,
            "Close where a message has more bytes");
  add_count(command, "--max-body", listen.max_body, many,
            "Refuse a request whose body has more bytes");
  add_count(command, "--max-outbound", listen.max_outbound, many,
            "Close where more bytes wait to be read");
  add_count(command, "--max-pings", listen.max_pings, many, "Close where a second has more pings");
  add_count(command, "--max-requests", options_.max_requests, many,
            "Close where a connection has more requests on their way");
  add_count(command, "--max-inbound", options_.max_inbound, std::size_t{1} << 40U,
            "Refuse requests where more bytes of them wait for the store");
  add_count(command, "--max-failed-attempts", options_.max_failed_attempts, 60'000,
            "Refuse an address for a while that had more bad tokens in a minute");
  add_duration(command, "--handshake-timeout", listen.handshake,
               "Close where a request takes longer to arrive");
  add_duration(command, "--idle-timeout", listen.idle, "Close where nothing is heard for longer");
}

int ServeUsage::run() const {
  if (const std::string problem = unsafe(options_.listen); !problem.empty()) {
    return trouble(problem, "Try `limitr help serve`.");
  }
  server::ServeOptions options = options_;
  options.read_policy = [this]() -> Result<server::PolicyText> {
    auto file = read_policy(options_.policy_file, format_, DocumentBounds());
    if (!file.ok()) return std::move(file).error();
    return server::PolicyText{.text = std::move(file->text), .format = file->format};
  };
  const auto served = server::serve(options, [](const server::Ready& ready) {
    if (ready.first_token) {
      print("The first token, which is shown this once: {}\n", *ready.first_token);
    }
    print("Serving at {}\n", ready.url);
    std::fflush(stdout);
  });
  if (!served.ok()) return trouble(served.error().to_string());
  print("Written: {} customers in {} transactions\n", served->customers, served->transactions);
  return exit_fine;
}

}  // namespace limitr::cli
