// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "harness.h"
#include "sharers.h"

// Every question the program answers. Each gives its rows and puts what it compared into
// `checks`; where that has a failure, the rows are not shown.
namespace limitr::bench {

Row allow_1k(const Size& size, Checks& checks);
Row handle_1k(const Size& size, Checks& checks);
Row allow_1m(const Size& size, Checks& checks);
Row c_allow(const Size& size, Checks& checks);
Row check_1k(const Size& size, Checks& checks);
Row threads_2(const Size& size, Checks& checks);
Row allow_heap(const Size& size, Checks& checks);
Row hardest(const Size& size, Checks& checks);
Row create_customer(const Size& size, Checks& checks);
Row bytes_1m(const Size& size, Checks& checks);
Row validate_50k(const Size& size, Checks& checks);

/// load_1m and snapshot_1m: the second is compared with the first of the same run.
std::vector<Row> load_and_snapshot(const Size& size, Checks& checks);

// Those of stores: `store` is the URL of where each makes what it needs, and removes it again.

Row sqlite_sync_1(const Size& size, const std::string& store, Checks& checks);
Row sqlite_sync_1000(const Size& size, const std::string& store, Checks& checks);
Row sqlite_interval(const Size& size, const std::string& store, Checks& checks);
/// sqlite_flat, restart_demand, restart_all and bytes_1m_store, on one file of a million customers.
std::vector<Row> sqlite_million(const Size& size, const std::string& store, Checks& checks);
Row redis_sync_64(const Size& size, const std::string& store, Checks& checks);
Row redis_shared_1(const Size& size, const std::string& store, Checks& checks);
Row redis_shared_64(const Size& size, const std::string& store, Checks& checks);
Row postgres_sync_64(const Size& size, const std::string& store, Checks& checks);

// Those of Cloud, each with a server of its own. `store`: a folder that it makes and removes again,
// as `cloud:PATH`; of cloud_one_hot a PostgreSQL.

Row cloud_home(const Size& size, const std::string& store, Checks& checks);
Row cloud_first(const Size& size, const std::string& store, Checks& checks);
Row cloud_contended_1(const Size& size, const std::string& store, Checks& checks);
Row cloud_contended_64(const Size& size, const std::string& store, Checks& checks);
/// cloud_warm, cloud_ensure and cloud_ensure_new, each with its round trips.
std::vector<Row> cloud_warm(const Size& size, const std::string& store, Checks& checks);
Row cloud_policy(const Size& size, const std::string& store, Checks& checks);
/// cloud_connection_memory and cloud_customer_memory.
std::vector<Row> cloud_memory(const Size& size, const std::string& store, Checks& checks);
Row cloud_one_hot(const Size& size, const std::string& store, Checks& checks);

/// What bytes_1m runs in a process of its own: prints the resident growth in bytes that `count`
/// customers cause. Gives the exit code.
int print_resident_growth(std::size_t count);
/// What sqlite_million runs in processes of its own: opens the store, with `all` of its `count`
/// customers or on demand, and calls for customer `first`. Prints seconds until that is answered,
/// resident growth in bytes, and how many of those it looked at were as they should be. Exit code.
int print_reopened(const std::string& url, bool all, std::size_t count, std::size_t first);
/// What Sharers runs in processes of its own: opens an engine, and says so by a line; then, for
/// each line of its input, makes its part of the calls, and prints how many were allowed. Exit
/// code.
int share_calls(const std::string& url, const SharedCalls& work, std::size_t process);
/// What cloud_memory runs in a process of its own: opens an engine of the server, loads `count`
/// customers, and prints the resident growth in bytes that they cause. Exit code.
int print_loaded_growth(const std::string& url, std::size_t count);

}  // namespace limitr::bench
