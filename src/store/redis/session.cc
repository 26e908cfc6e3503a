// SPDX-License-Identifier: Apache-2.0
#include "store/redis/session.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "store/redis/rows.h"

namespace limitr::store::redis {
namespace {

/// The line `name:value` of INFO; empty where there is none.
std::string_view line_of(std::string_view info, std::string_view name) {
  for (std::size_t at = 0; at < info.size();) {
    const std::size_t end = std::min(info.find("\r\n", at), info.size());
    const std::string_view line = info.substr(at, end - at);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(':')) {
      return line.substr(name.size() + 1);
    }
    at = end + 2;
  }
  return {};
}

}  // namespace

Session::Session(std::unique_ptr<Connection> connection, const RedisOptions& options)
    : connection_(std::move(connection)), prefix_(options.prefix) {}

Result<std::unique_ptr<Session>> Session::open(const RedisOptions& options) {
  Result<std::unique_ptr<Connection>> connection = Connection::open(options);
  if (!connection.ok()) return std::move(connection).error();
  std::unique_ptr<Session> session(new Session(*std::move(connection), options));
  auto opened = session->refuse_what_is_not_fit();
  if (opened.ok()) opened = session->load_scripts();
  if (opened.ok()) return session;
  Error error = std::move(opened).error();
  // Nothing of ours can have been done yet.
  if (error.code == ErrorCode::outcome_unknown) error.code = ErrorCode::store_unavailable;
  return error;
}

Result<void> Session::load_scripts() {
  std::vector<Command> commands;
  std::vector<std::size_t> loaded;
  for (std::size_t i = 0; i < script_count; ++i) {
    const auto script = static_cast<Script>(i);
    if (!is_of(script, is_cluster_)) continue;
    commands.emplace_back().add("SCRIPT").add("LOAD").add(source_of(script));
    loaded.push_back(i);
  }
  const Result<std::vector<Reply>> replies = connection_->run(commands);
  if (!replies.ok()) return replies.error();
  for (std::size_t i = 0; i < loaded.size(); ++i) {
    const Value name = (*replies)[i].value();
    if (name.is_error()) return error_of(name, place());
    names_[loaded[i]] = name.text();
  }
  return {};
}

Command Session::call(Script script, const std::string& base) const {
  Command command;
  command.add("EVALSHA").add(names_[static_cast<std::size_t>(script)]).add(std::uint64_t{2});
  command.add(base + ":owner").add(base + ":never").add(base);
  return command;
}

Command Session::call(Script script) const {
  Command command;
  command.add("EVALSHA").add(names_[static_cast<std::size_t>(script)]).add(std::uint64_t{1});
  command.add(prefix_ + ":owner").add(prefix_);
  return command;
}

// Adds the answers up to one that says that the script is missing, and gives whether one does.
Result<bool> Session::take(std::vector<Reply> replies, std::vector<Answer>& answers) const {
  const auto is_done = [](const Reply& reply) { return !reply.value().is_error(); };
  for (auto reply = replies.begin(); reply != replies.end(); ++reply) {
    const Value value = reply->value();
    if (value.is_error()) {
      // Those behind it ran all the same, unless they failed too.
      const bool any_behind = std::any_of(reply, replies.end(), is_done);
      if (says(value, "NOSCRIPT") && !any_behind) return true;
      Error error = error_of(value, place());
      if (any_behind || !answers.empty()) error.code = ErrorCode::outcome_unknown;
      return error;
    }
    if (!value.is_list() || value.size() == 0) {
      return Error{.code = ErrorCode::outcome_unknown,
                   .message = fmt::format("`{}` answers a script with what is no answer", place())};
    }
    answers.emplace_back(std::move(*reply));
  }
  return false;
}

Result<std::vector<Answer>> Session::run(Script script, std::vector<Command> calls, Millis longer) {
  std::vector<Answer> answers;
  // Nothing that was done before is undone by what fails now.
  const auto failed = [&](Error error) {
    if (!answers.empty()) error.code = ErrorCode::outcome_unknown;
    return error;
  };
  for (const bool is_again : {false, true}) {
    auto replies = connection_->run(std::span(calls).subspan(answers.size()), longer);
    if (!replies.ok()) return failed(std::move(replies).error());
    const Result<bool> is_missing = take(*std::move(replies), answers);
    if (!is_missing.ok()) return is_missing.error();
    if (!*is_missing) return answers;
    if (is_again) break;
    if (auto loaded = load_scripts(); !loaded.ok()) {
      Error error = std::move(loaded).error();
      error.code = ErrorCode::store_unavailable;
      return failed(std::move(error));
    }
  }
  return failed(
      {.code = ErrorCode::store_unavailable,
       .message = fmt::format("`{}` forgets the script {}", place(), static_cast<int>(script))});
}

Result<Answer> Session::run(Script script, Command call, Millis longer) {
  std::vector<Command> calls;
  calls.push_back(std::move(call));
  Result<std::vector<Answer>> answers = run(script, std::move(calls), longer);
  if (!answers.ok()) return std::move(answers).error();
  return std::move(answers->front());
}

Result<std::string> Session::info(std::string_view section) {
  const Result<Reply> reply = connection_->run(Command().add("INFO").add(section));
  if (!reply.ok()) return reply.error();
  return std::string(reply->value().is_error() ? std::string_view() : reply->value().text());
}

// What an ACL keeps from us is taken to be well: the scripts themselves fail where it is not.
Result<void> Session::refuse_what_is_not_fit() {
  const Result<std::string> server = info("server");
  if (!server.ok()) return server.error();
  const std::string_view version = line_of(*server, "redis_version");
  int major = 0;
  std::from_chars(version.data(), version.data() + version.size(), major);
  if (!version.empty() && major < 6) {
    return Error{
        .code = ErrorCode::invalid_argument,
        .message = fmt::format("`{}` is Redis {}: 6 or later is needed", place(), version)};
  }
  is_cluster_ = line_of(*server, "redis_mode") == "cluster";
  // Its slots are with others, whom the map names.
  if (is_cluster_) return {};
  const Result<std::string> replication = info("replication");
  if (!replication.ok()) return replication.error();
  if (line_of(*replication, "role") == "slave") {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is a replica: name its primary, {}:{}", place(),
                                        line_of(*replication, "master_host"),
                                        line_of(*replication, "master_port"))};
  }
  return {};
}

Result<std::optional<std::string>> Session::weakness() {
  struct Setting {
    std::string_view name;
    std::string_view wanted;
  };
  // The third one leaves out the sync while the file is rewritten.
  constexpr Setting settings[] = {
      {"appendonly", "yes"}, {"appendfsync", "always"}, {"no-appendfsync-on-rewrite", "no"}};
  std::string weak;
  std::vector<Command> commands;
  for (const Setting& setting : settings) {
    commands.emplace_back().add("CONFIG").add("GET").add(setting.name);
  }
  commands.emplace_back().add("CONFIG").add("GET").add("maxmemory-policy");
  const Result<std::vector<Reply>> replies = connection_->run(commands);
  if (!replies.ok()) return replies.error();
  for (std::size_t i = 0; i < replies->size(); ++i) {
    const Value reply = (*replies)[i].value();
    if (reply.size() != 2) {
      return std::optional(fmt::format(
          "`{}` does not tell its settings ({}), so it cannot be known that it has appendonly yes "
          "and appendfsync always",
          place(), reply.is_error() ? reply.text() : "CONFIG GET answers nothing"));
    }
    const std::string_view is = reply[1].text();
    if (i == std::size(settings)) {
      if (is.starts_with("allkeys-") || (is_cluster_ && is.starts_with("volatile-"))) {
        weak += fmt::format("{}maxmemory-policy {} (noeviction{} is needed)",
                            weak.empty() ? "" : ", ", is, is_cluster_ ? "" : " or volatile-...");
      }
    } else if (is != settings[i].wanted) {
      weak += fmt::format("{}{} {} ({} is needed)", weak.empty() ? "" : ", ", settings[i].name, is,
                          settings[i].wanted);
    }
  }
  if (weak.empty()) return std::optional<std::string>();
  return std::optional(fmt::format("`{}` has {}", place(), weak));
}

Result<Software> Session::software() {
  const Result<std::string> server = info("server");
  if (!server.ok()) return server.error();
  const Result<std::string> memory = info("memory");
  if (!memory.ok()) return memory.error();
  return Software{.version = std::string(line_of(*server, "redis_version")),
                  .used_memory = to_number(line_of(*memory, "used_memory")).value_or(0)};
}

}  // namespace limitr::store::redis
