// SPDX-License-Identifier: Apache-2.0
#include "redis_cluster.h"

#include <algorithm>
#include <functional>
#include <random>
#include <span>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "store/redis/connection.h"

namespace limitr::store {
namespace {

using redis::Slot;
using redis::slot_count;

/// One that nobody listens on now, and that no connection is given by itself.
std::uint16_t free_port() {
  static std::minstd_rand random{std::random_device()()};
  for (;;) {
    const auto port = static_cast<std::uint16_t>(10'000 + random() % 20'000);
    const int listening = ::socket(AF_INET, SOCK_STREAM, 0);
    ::sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool is_free =
        ::bind(listening, reinterpret_cast<::sockaddr*>(&address), sizeof address) == 0;
    ::close(listening);
    if (is_free) return port;
  }
}

class TaggedStore final : public Store {
public:
  explicit TaggedStore(std::unique_ptr<Store> store) : store_(std::move(store)) {}

  Result<Opened> open(Access access, const Owner& owner) override {
    return store_->open(access, owner);
  }
  Result<void> commit(const Group& group) override {
    Group tagged = group;
    for (CustomerWrite& write : tagged.customers) tag(write);
    return store_->commit(tagged);
  }
  Result<std::vector<Exchanged>> exchange(std::span<const Transaction> transactions) override {
    std::vector<Transaction> tagged(transactions.begin(), transactions.end());
    for (Transaction& transaction : tagged) {
      for (Part& part : transaction.parts) {
        tag(part.id);
        if (part.write) tag(*part.write);
      }
    }
    Result<std::vector<Exchanged>> exchanged = store_->exchange(tagged);
    if (!exchanged.ok()) return exchanged;
    for (Exchanged& one : *exchanged) {
      for (StoredCustomer& customer : one.current) untag(customer.id);
    }
    return exchanged;
  }
  Result<void> renew() override { return store_->renew(); }
  bool has_lost() override { return store_->has_lost(); }
  Result<std::uint64_t> last_group() override { return store_->last_group(); }
  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) override {
    std::vector<std::string> tagged(ids.begin(), ids.end());
    for (std::string& id : tagged) tag(id);
    Result<std::vector<StoredCustomer>> found = store_->read(tagged);
    if (!found.ok()) return found;
    for (StoredCustomer& customer : *found) untag(customer.id);
    return found;
  }
  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(StoredCustomer)>& visit) override {
    std::optional<std::string> tagged = after;
    if (tagged) tag(*tagged);
    return store_->scan_after(tagged, [&](StoredCustomer customer) {
      untag(customer.id);
      return visit(std::move(customer));
    });
  }
  Result<Status> status() override { return store_->status(); }
  Result<void> close() override { return store_->close(); }

private:
  static constexpr std::string_view tag_text = "{team}";

  static void tag(std::string& id) { id.insert(0, tag_text); }
  static void untag(std::string& id) {
    EXPECT_TRUE(id.starts_with(tag_text)) << id;
    id.erase(0, tag_text.size());
  }
  static void tag(CustomerWrite& write) {
    tag(write.id);
    for (std::string& alt : write.alt_ids) tag(alt);
  }

  const std::unique_ptr<Store> store_;
};

}  // namespace

RedisCluster::RedisCluster() {
  for (std::size_t i = 0; i < size; ++i) {
    add_node();
    const std::size_t first = slot_count * i / size;
    const std::size_t last = slot_count * (i + 1) / size - 1;
    nodes_[i]->ask({"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(i + 1)});
    EXPECT_EQ(
        nodes_[i]->ask({"CLUSTER", "ADDSLOTSRANGE", std::to_string(first), std::to_string(last)}),
        "OK");
  }
  wait_until_ok();
}

void RedisCluster::add_node() {
  const std::string port = std::to_string(ports_.emplace_back(free_port()));
  std::string bus = port;
  while (bus == port) bus = std::to_string(free_port());
  nodes_.push_back(std::make_unique<RedisServer>(std::vector<std::string>{
      "--port", port, "--bind", "127.0.0.1", "--cluster-port", bus, "--cluster-enabled", "yes",
      "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no",
      "--cluster-replica-validity-factor", "0"}));
  EXPECT_EQ(nodes_[0]->ask({"CLUSTER", "MEET", "127.0.0.1", port, bus}), "OK");
}

std::size_t RedisCluster::add_replica(std::size_t of) {
  add_node();
  const std::string master = node(of).ask({"CLUSTER", "MYID"});
  RedisServer& replica = *nodes_.back();
  EXPECT_TRUE(comes_true([&] { return replica.ask({"CLUSTER", "REPLICATE", master}) == "OK"; }));
  wait_until_ok();
  wait_for_replica(nodes_.size() - 1, of);
  return nodes_.size() - 1;
}

void RedisCluster::wait_for_replica(std::size_t replica, std::size_t of) {
  const auto line_of = [](const RedisServer& node, const std::string& name) {
    const std::string info = node.ask({"INFO", "replication"});
    const std::size_t at = info.find(name + ":");
    return at == std::string::npos ? "none" : info.substr(at, info.find('\r', at) - at);
  };
  EXPECT_TRUE(comes_true([&] {
    return line_of(node(replica), "master_link_status") == "master_link_status:up" &&
           line_of(node(replica), "master_repl_offset") == line_of(node(of), "master_repl_offset");
  }));
}

void RedisCluster::cut_off_replica(std::size_t replica, std::size_t of) {
  wait_for_replica(replica, of);
  node(replica).pause();
  node(of).ask({"CLIENT", "KILL", "TYPE", "replica"});
}

void RedisCluster::let_take_over(std::size_t replica, std::size_t of) {
  node(of).kill();
  node(replica).resume();
  const std::string id = node(replica).ask({"CLUSTER", "MYID"});
  const auto knows = [&](const std::unique_ptr<RedisServer>& other) {
    if (other == nodes_[of]) return true;
    const std::string all = other->ask({"CLUSTER", "NODES"});
    const std::size_t at = all.find(id);
    return at != std::string::npos &&
           all.substr(at, all.find('\n', at) - at).find("master") != std::string::npos;
  };
  EXPECT_TRUE(comes_true([&] { return std::ranges::all_of(nodes_, knows); }));
}

RedisCluster& RedisCluster::shared() {
  static RedisCluster cluster;
  return cluster;
}

void RedisCluster::wait_until_ok() const {
  const auto is_ok = [&](const std::unique_ptr<RedisServer>& node) {
    const std::string info = node->ask({"CLUSTER", "INFO"});
    const std::string nodes = node->ask({"CLUSTER", "NODES"});
    return info.find("cluster_state:ok") != std::string::npos &&
           info.find("cluster_slots_ok:16384") != std::string::npos &&
           info.find("cluster_known_nodes:" + std::to_string(nodes_.size())) != std::string::npos &&
           nodes.find("fail") == std::string::npos;
  };
  EXPECT_TRUE(comes_true([&] { return std::ranges::all_of(nodes_, is_ok); }));
}

std::int64_t RedisCluster::number(const std::vector<std::string>& command) const {
  const auto connection = redis::Connection::open(nodes_[0]->options());
  if (!connection.ok()) return -1;
  redis::Command words;
  for (const std::string& word : command) words.add(word);
  const auto reply = (*connection)->run(words);
  return reply.ok() ? reply->value().number() : -1;
}

std::size_t RedisCluster::node_of(Slot slot) const {
  for (const auto& node : nodes_) {
    const auto connection = redis::Connection::open(node->options());
    if (!connection.ok()) continue;
    const auto reply = (*connection)->run(redis::Command().add("CLUSTER").add("SLOTS"));
    if (!reply.ok()) continue;
    const redis::Value ranges = reply->value();
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      if (ranges[i][0].number() > slot || ranges[i][1].number() < slot) continue;
      const auto port = static_cast<std::uint16_t>(ranges[i][2][1].number());
      const auto found = std::find(ports_.begin(), ports_.end(), port);
      return static_cast<std::size_t>(found - ports_.begin());
    }
  }
  ADD_FAILURE() << "nobody has slot " << slot;
  return 0;
}

void RedisCluster::begin_move(Slot slot, std::size_t to) {
  const std::size_t from = node_of(slot);
  const std::string number = std::to_string(slot);
  EXPECT_EQ(node(to).ask(
                {"CLUSTER", "SETSLOT", number, "IMPORTING", node(from).ask({"CLUSTER", "MYID"})}),
            "OK");
  EXPECT_EQ(node(from).ask(
                {"CLUSTER", "SETSLOT", number, "MIGRATING", node(to).ask({"CLUSTER", "MYID"})}),
            "OK");
}

void RedisCluster::move_keys(Slot slot, std::size_t to, std::size_t most) {
  RedisServer& from = node(node_of(slot));
  const auto connection = redis::Connection::open(from.options());
  ASSERT_TRUE(connection.ok());
  const auto keys = (*connection)
                        ->run(redis::Command()
                                  .add("CLUSTER")
                                  .add("GETKEYSINSLOT")
                                  .add(std::uint64_t{slot})
                                  .add(std::uint64_t{most}));
  for (std::size_t i = 0; i < keys->value().size(); ++i) {
    EXPECT_EQ(from.ask({"MIGRATE", "127.0.0.1", std::to_string(ports_[to]),
                        std::string(keys->value()[i].text()), "0", "5000"}),
              "OK");
  }
}

void RedisCluster::end_move(Slot slot, std::size_t to) {
  const std::string id = node(to).ask({"CLUSTER", "MYID"});
  const std::string number = std::to_string(slot);
  EXPECT_EQ(node(to).ask({"CLUSTER", "SETSLOT", number, "NODE", id}), "OK");
  for (const auto& other : nodes_) other->ask({"CLUSTER", "SETSLOT", number, "NODE", id});
  EXPECT_TRUE(comes_true([&] { return node_of(slot) == to; }));
}

void RedisCluster::move(Slot slot, std::size_t to) {
  if (node_of(slot) == to) return;
  begin_move(slot, to);
  move_keys(slot, to, 1'000'000);
  end_move(slot, to);
}

std::unique_ptr<Store> tagged(std::unique_ptr<Store> store) {
  return std::make_unique<TaggedStore>(std::move(store));
}

}  // namespace limitr::store
