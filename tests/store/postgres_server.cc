// SPDX-License-Identifier: Apache-2.0
#include "postgres_server.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace limitr::store {
namespace {

constexpr const char* user = "postgres";
constexpr auto patience = std::chrono::seconds(30);

/// PostgreSQL refuses to run as root.
void become_user() {
  if (::geteuid() != 0) return;
  const ::passwd* found = ::getpwnam(user);
  if (found == nullptr || ::initgroups(user, found->pw_gid) != 0 || ::setgid(found->pw_gid) != 0 ||
      ::setuid(found->pw_uid) != 0) {
    std::_Exit(126);
  }
}

/// Starts a program of PostgreSQL; what it says goes to a file.
::pid_t start_program(const std::string& name, const std::vector<std::string>& arguments,
                      const std::string& log) {
  const std::string path = std::string(LIMITR_POSTGRES_BIN "/") + name;
  std::vector<char*> raw = {const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  const ::pid_t child = ::fork();
  if (child != 0) return child;
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(out, 1);
  ::dup2(out, 2);
  // Descriptors of the tests must not live on in the server.
  for (int other = 3; other < 256; ++other) ::close(other);
  become_user();
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
  ::execv(raw[0], raw.data());
  std::_Exit(127);
}

void fail(const std::string& what, const std::string& log) {
  std::ifstream in(log);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  std::fprintf(stderr, "%s; %s says:\n%s\n", what.c_str(), log.c_str(), text.c_str());
  std::abort();
}

/// What /proc says of a process after its name: " S 4711 ..."; empty where there is none.
std::string state_of(::pid_t process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(in, text);
  const std::size_t name_end = text.rfind(')');
  return name_end == std::string::npos ? "" : text.substr(name_end + 1);
}

::pid_t parent_of(::pid_t process) {
  const std::string state = state_of(process);
  if (state.empty()) return -1;
  return static_cast<::pid_t>(std::strtol(state.c_str() + 3, nullptr, 10));
}

/// It may be left for its parent to take note of, but does nothing any more.
bool is_gone(::pid_t process) {
  const std::string state = state_of(process);
  return state.empty() || state.starts_with(" Z") || state.starts_with(" X");
}

}  // namespace

PostgresServer::PostgresServer() {
  const std::string log = folder_.file("log");
  if (::geteuid() == 0) {
    const ::passwd* found = ::getpwnam(user);
    if (found == nullptr || ::chown(folder_.path().c_str(), found->pw_uid, found->pw_gid) != 0) {
      fail("there is no user `postgres` to run the server as", log);
    }
  }
  const ::pid_t child = start_program("initdb",
                                      {"-D", folder_.file("data"), "-U", user, "-A", "trust", "-E",
                                       "UTF8", "--locale=C", "--no-sync"},
                                      log);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) fail("initdb has failed", log);
  std::ofstream(folder_.file("data/pg_hba.conf"))
      << "local all guarded scram-sha-256\nlocal all all trust\n";
  start();
}

PostgresServer::~PostgresServer() { kill(); }

PostgresServer& PostgresServer::shared() {
  static PostgresServer server;
  return server;
}

std::string PostgresServer::url_of(const std::string& user_and_password,
                                   const std::string& parameters) const {
  return "postgres://" + user_and_password + "@/postgres?host=" + folder_.path() + parameters;
}

std::string PostgresServer::url(const std::string& parameters) const {
  return url_of(user, parameters);
}

void PostgresServer::start() {
  const std::string log = folder_.file("log");
  postmaster_ = start_program(
      "postgres",
      {"-D", folder_.file("data"), "-k", folder_.path(), "-h", "", "-c", "max_connections=200",
       // It is killed now and then: to look after each file takes it seconds.
       "-c", "recovery_init_sync_method=syncfs"},
      log);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (PQping(url().c_str()) != PQPING_OK) {
    int status = 0;
    if (::waitpid(postmaster_, &status, WNOHANG) == postmaster_ ||
        std::chrono::steady_clock::now() > deadline) {
      fail("the server does not start", log);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // Nothing tells when it is up.
  }
}

std::vector<::pid_t> PostgresServer::processes() const {
  std::vector<::pid_t> all = {postmaster_};
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto process =
        static_cast<::pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10));
    if (process > 0 && parent_of(process) == postmaster_) all.push_back(process);
  }
  return all;
}

void PostgresServer::kill() {
  if (postmaster_ < 0) return;
  ::kill(postmaster_, SIGSTOP);  // It makes no new ones meanwhile.
  const std::vector<::pid_t> all = processes();
  for (const ::pid_t process : all) ::kill(process, SIGKILL);
  ::waitpid(postmaster_, nullptr, 0);
  // Whoever is left of the old server keeps a new one from starting.
  for (const ::pid_t process : all) {
    while (!is_gone(process)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  postmaster_ = -1;
}

void PostgresServer::stand_still() const {
  ::kill(postmaster_, SIGSTOP);
  for (const ::pid_t process : processes()) ::kill(process, SIGSTOP);
}

void PostgresServer::go_on() const {
  for (const ::pid_t process : processes()) ::kill(process, SIGCONT);
}

PostgresSession::PostgresSession(const std::string& url) : handle_(PQconnectdb(url.c_str())) {
  EXPECT_EQ(PQstatus(handle_), CONNECTION_OK) << PQerrorMessage(handle_);
  run("SET client_min_messages = error; SET timezone = 'UTC'");
}

std::string PostgresSession::text(const std::string& sql) {
  PGresult* result = PQexec(handle_, sql.c_str());
  const ExecStatusType status = PQresultStatus(result);
  EXPECT_TRUE(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
      << sql << ": " << PQerrorMessage(handle_);
  std::string found;
  for (int row = 0; row < PQntuples(result); ++row) {
    if (row > 0) found += ' ';
    for (int column = 0; column < PQnfields(result); ++column) {
      if (column > 0) found += '|';
      found += PQgetisnull(result, row, column) != 0 ? "-" : PQgetvalue(result, row, column);
    }
  }
  PQclear(result);
  return found;
}

}  // namespace limitr::store
