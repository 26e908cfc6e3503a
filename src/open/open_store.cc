// SPDX-License-Identifier: Apache-2.0
#include "open/open_store.h"

#include <string>

#include <fmt/format.h>

#include "store/file/file_store.h"
#include "store/memory_store.h"

#ifdef LIMITR_REDIS
#include "store/redis/redis_store.h"
#endif
#ifdef LIMITR_POSTGRES
#include "store/postgres/postgres_store.h"
#endif
#ifdef LIMITR_SQLITE
#include "store/sqlite/sqlite_store.h"
#endif

namespace limitr {
namespace {

Error no_file(std::string_view url) {
  return {.code = ErrorCode::invalid_argument, .message = fmt::format("`{}` names no file", url)};
}

Result<std::unique_ptr<store::Store>> file_at(std::string_view url, std::string_view path) {
  if (path.empty()) return no_file(url);
  return store::file_store({.path = std::string(path)});
}

#ifdef LIMITR_SQLITE
Result<std::unique_ptr<store::Store>> sqlite_at(std::string_view url, std::string_view path,
                                                bool accept_weaker) {
  if (path.empty()) return no_file(url);
  return store::sqlite_store({.path = std::string(path), .accept_weaker = accept_weaker});
}
#endif

#ifdef LIMITR_REDIS
Result<std::unique_ptr<store::Store>> redis_at(std::string_view url, bool accept_weaker) {
  Result<store::RedisOptions> options = store::read_redis_url(url);
  if (!options.ok()) return std::move(options).error();
  options->accept_weaker = accept_weaker;
  return store::redis_store(*std::move(options));
}
#endif

}  // namespace

Result<std::unique_ptr<store::Store>> store_at(std::string_view url, bool accept_weaker) {
  const std::size_t colon = url.find(':');
  const std::string_view kind = url.substr(0, colon);
  if (colon == std::string_view::npos) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is no store: it begins with its kind, as in "
                                        "sqlite:limitr.db",
                                        url)};
  }
  const std::string_view rest = url.substr(colon + 1);
  if (kind == "memory") return store::memory_store(std::string(rest));
  if (kind == "file") return file_at(url, rest);
#ifdef LIMITR_SQLITE
  if (kind == "sqlite") return sqlite_at(url, rest, accept_weaker);
#endif
#ifdef LIMITR_REDIS
  if (kind == "redis" || kind == "rediss") return redis_at(url, accept_weaker);
#endif
#ifdef LIMITR_POSTGRES
  if (kind == "postgres" || kind == "postgresql") {
    return store::postgres_store({.url = std::string(url), .accept_weaker = accept_weaker});
  }
#endif
  // The rest of the URL may hold a password.
  return Error{.code = ErrorCode::invalid_argument,
               .message = fmt::format("there is no store of the kind `{}`", kind)};
}

}  // namespace limitr
