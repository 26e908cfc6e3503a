// SPDX-License-Identifier: Apache-2.0
#include "gubernator.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gubernator.grpc.pb.h>

#include "child.h"
#include "folder.h"

namespace limitr::bench {

namespace {

using pb::gubernator::GetRateLimitsReq;
using pb::gubernator::GetRateLimitsResp;
using pb::gubernator::V1;

constexpr std::int64_t period_ms = std::int64_t{30} * 24 * 3600 * 1000;

[[noreturn]] void give_up(const std::string& what) {
  stop({.code = ErrorCode::io_failed, .message = what});
}

// An address of this machine that nobody has.
std::string at_free_port() {
  const int asking = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const place = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  const bool is_bound = bind(asking, place, size) == 0 && getsockname(asking, place, &size) == 0;
  close(asking);
  if (!is_bound) give_up("there is no free port for gubernator");
  return fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
}

GetRateLimitsReq request_of(const std::string& name, const std::string& key, std::int64_t units,
                            double limit) {
  GetRateLimitsReq request;
  pb::gubernator::RateLimitReq& one = *request.add_requests();
  one.set_name(name);
  one.set_unique_key(key);
  one.set_hits(units);
  one.set_limit(std::llround(limit));
  one.set_duration(period_ms);
  return request;
}

// Why there is no answer; empty: there is one.
std::string problem_of(const grpc::Status& status, const GetRateLimitsResp& response) {
  if (!status.ok()) return status.error_message();
  if (response.responses_size() != 1) return "not one answer to one question";
  return response.responses(0).error();
}

bool is_allowed(const grpc::Status& status, const GetRateLimitsResp& response) {
  const std::string problem = problem_of(status, response);
  if (!problem.empty()) give_up("gubernator: " + problem);
  return response.responses(0).status() == pb::gubernator::UNDER_LIMIT;
}

// A call on its way.
struct Flying {
  grpc::ClientContext context;
  GetRateLimitsResp response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<GetRateLimitsResp>> reader;
};

class RunningGubernator final : public Gubernator {
public:
  explicit RunningGubernator(const std::string& program)
      : address_(at_free_port()),
        process_({"-config", write_settings()}, {.path = program, .log = folder_.file("log")}),
        stub_(V1::NewStub(grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()))) {
    // It answers once it knows of itself.
    const Stopwatch watch;
    std::string problem;
    do {
      grpc::ClientContext context;
      context.set_wait_for_ready(true);
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
      GetRateLimitsResp response;
      const grpc::Status status =
          stub_->GetRateLimits(&context, request_of("start", "start", 0, 1), &response);
      problem = problem_of(status, response);
    } while (!problem.empty() && watch.seconds() < 10);
    if (problem.empty()) return;
    std::ostringstream log;
    log << std::ifstream(folder_.file("log")).rdbuf();
    give_up(fmt::format("GUBERNATOR, `{}`, does not answer: {}\n{}", program, problem, log.str()));
  }

  Sample time_one_by_one(const std::string& name, const std::vector<std::string>& keys,
                         double limit) override {
    std::vector<double> times;
    std::uint64_t allowed = 0;
    for (const std::string& key : keys) {
      const Stopwatch watch;
      grpc::ClientContext context;
      GetRateLimitsResp response;
      const grpc::Status status =
          stub_->GetRateLimits(&context, request_of(name, key, 1, limit), &response);
      times.push_back(watch.seconds() * 1e6);
      if (is_allowed(status, response)) ++allowed;
    }
    return {median(std::move(times)), allowed};
  }

  Sample time_in_flight(const std::string& name, const std::vector<std::string>& keys, double limit,
                        std::size_t in_flight) override {
    grpc::CompletionQueue queue;
    std::size_t made = 0;
    const auto make = [&] {
      auto* const call = new Flying;
      call->reader = stub_->AsyncGetRateLimits(&call->context,
                                               request_of(name, keys[made++], 1, limit), &queue);
      call->reader->Finish(&call->response, &call->status, call);
    };
    const Stopwatch watch;
    while (made < std::min(in_flight, keys.size())) make();
    std::uint64_t allowed = 0;
    for (std::size_t done = 0; done < keys.size(); ++done) {
      void* tag = nullptr;
      bool is_good = false;
      if (!queue.Next(&tag, &is_good) || !is_good) give_up("gubernator gives no answer");
      const std::unique_ptr<Flying> call(static_cast<Flying*>(tag));
      if (is_allowed(call->status, call->response)) ++allowed;
      if (made < keys.size()) make();
    }
    return {static_cast<double>(keys.size()) / watch.seconds(), allowed};
  }

private:
  // One server, which finds itself as it would find others, and traces nothing.
  std::string write_settings() const {
    std::string path = folder_.file("gubernator.conf");
    const std::string meeting = at_free_port();
    std::ofstream(path) << fmt::format(
        "GUBER_GRPC_ADDRESS={}\nGUBER_HTTP_ADDRESS={}\n"
        "GUBER_PEER_DISCOVERY_TYPE=member-list\nGUBER_MEMBERLIST_BIND_ADDRESS={}\n"
        "GUBER_MEMBERLIST_KNOWN_NODES={}\nOTEL_TRACES_SAMPLER=always_off\n",
        address_, at_free_port(), meeting, meeting);
    return path;
  }

  const Folder folder_;
  const std::string address_;
  Child process_;
  const Tidy tidy_{[this] {
    process_.terminate();
    process_.finish();
  }};
  const std::unique_ptr<V1::Stub> stub_;
};

}  // namespace

std::unique_ptr<Gubernator> start_gubernator(const std::string& program) {
  return std::make_unique<RunningGubernator>(program);
}

}  // namespace limitr::bench
