// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "harness.h"

// Every question the program answers. Each gives its rows and puts what it compared into
// `checks`; where that has a failure, the rows are not shown.
namespace limitr::bench {

Row allow_1k(const Size& size, Checks& checks);
Row handle_1k(const Size& size, Checks& checks);
Row allow_1m(const Size& size, Checks& checks);
Row check_1k(const Size& size, Checks& checks);
Row threads_2(const Size& size, Checks& checks);
Row allow_heap(const Size& size, Checks& checks);
Row hardest(const Size& size, Checks& checks);
Row create_customer(const Size& size, Checks& checks);
Row bytes_1m(const Size& size, Checks& checks);
Row validate_50k(const Size& size, Checks& checks);

/// load_1m and snapshot_1m: the second is compared with the first of the same run.
std::vector<Row> load_and_snapshot(const Size& size, Checks& checks);

/// What bytes_1m runs in a process of its own: prints the resident growth in bytes that `count`
/// customers cause. Gives the exit code.
int print_resident_growth(std::size_t count);

}  // namespace limitr::bench
