// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <limitr/json.h>
#include "cli/stores.h"

// The commands on a store. As those of command.h: each prints, and returns the exit code.
namespace limitr::cli {

/// What one call is told.
struct CallWords {
  StoreUse use;
  std::string customer;
  std::string entitlement;
  std::string hold;
  std::optional<std::string> value;  ///< As written: with a unit, or without.
  std::optional<Json> event_data;
  std::optional<double> overhead;
  std::optional<double> basis;
  std::optional<std::string> segment;
  std::optional<std::string> ttl;
  std::string request;
  bool force = false;
  bool json = false;
};
int allow(const CallWords& words);
int check(const CallWords& words);
int increment(const CallWords& words);
int decrement(const CallWords& words);
int set(const CallWords& words);
int reserve(const CallWords& words);
int settle(const CallWords& words);
int release(const CallWords& words);
int held(const CallWords& words);

/// What a change to a customer is told.
struct ChangeWords {
  StoreUse use;
  std::string customer;
  std::string plan;
  std::string topup;
  std::string entitlement;
  std::optional<std::string> value;
  std::string mode;
  std::string expires;  ///< A moment as text, or empty.
  bool remove = false;
  std::string type = "user";
  std::string label = "User";
  std::vector<std::string> refs;
  std::vector<std::string> alts;
  std::optional<Json> metadata;
  std::string request;
  bool json = false;
};
int create_customer(const ChangeWords& words);
int delete_customer(const ChangeWords& words);
int put_on_plan(const ChangeWords& words);
int apply_topup(const ChangeWords& words);
int override_limit(const ChangeWords& words);

/// What is wanted of many customers.
struct CustomersOptions {
  StoreUse use;
  std::string after;  ///< Only those whose IDs come later, or empty.
  std::string plan;   ///< Only those on it, or empty.
  std::optional<std::uint64_t> limit;
  bool json = false;
};
int list_customers(const CustomersOptions& options);

struct CustomerOptions {
  StoreUse use;
  std::string id;
  bool json = false;
};
int show_customer(const CustomerOptions& options);

struct ExportOptions {
  StoreUse use;
  std::string file;  ///< Empty: standard output.
};
int export_records(const ExportOptions& options);

struct ImportFileOptions {
  StoreUse use;
  std::string file = "-";
  bool replace = false;
  bool json = false;
};
int import_file(const ImportFileOptions& options);

struct LookOptions {
  StoreUse use;
  bool json = false;
};
int fsck(const LookOptions& options);
int show_store(const LookOptions& options);
int show_policy(const LookOptions& options);

}  // namespace limitr::cli
