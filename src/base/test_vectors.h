// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <limitr/json.h>

namespace limitr {

/// For tests only: the lines of a file of tests/vectors. LIMITR_TEST_DATA is the tests' folder.
inline std::vector<Json> read_vectors(const std::string& name) {
  std::ifstream file(std::string(LIMITR_TEST_DATA) + "/vectors/" + name);
  std::vector<Json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(Json::parse(line));
  if (rows.empty()) throw std::runtime_error("no vectors in " + name);
  return rows;
}

}  // namespace limitr
