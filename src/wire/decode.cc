// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/amount.h"
#include "base/json_writer.h"
#include "wire/messages.h"

namespace limitr::wire {
namespace {

namespace ondemand = simdjson::ondemand;
using ondemand::json_type;
using store::CustomerWrite;
using store::Exchanged;
using store::Part;
using store::StoredCustomer;
using store::StoredRequest;
using store::Transaction;

// A place inside a message, built into text only when something is wrong there.
class Place {
public:
  Place() = default;

  Place operator[](std::string_view member) const { return Place(this, member, none); }
  Place at(std::size_t index) const { return Place(this, {}, index); }
  std::string text() const {
    if (parent_ == nullptr) return {};
    const std::string own = index_ == none ? std::string(name_) : fmt::to_string(index_);
    const std::string outer = parent_->text();
    return outer.empty() ? own : fmt::format("{}.{}", outer, own);
  }

private:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  Place(const Place* parent, std::string_view name, std::size_t index)
      : parent_(parent), name_(name), index_(index) {}

  const Place* parent_ = nullptr;
  std::string_view name_ = {};
  std::size_t index_ = none;
};

// A member that cannot be read. Never leaves this file.
struct BadMember {
  std::string where;
  std::string message;
};

[[noreturn]] void fail(const Place& place, std::string message) {
  throw BadMember{place.text(), std::move(message)};
}

[[noreturn]] void bad(const Place& place, std::string_view expected) {
  fail(place, fmt::format("expected {}", expected));
}

// Compares with the length known, which becomes a few instructions.
template <std::size_t size>
bool is(std::string_view key, const char (&name)[size]) {
  return key.size() == size - 1 && std::memcmp(key.data(), name, size - 1) == 0;
}

// What is large is not kept for the next message.
constexpr std::size_t most_kept = 1U << 22;

// What reading takes beside the message, one for each thread.
struct Parsers {
  ondemand::parser message;
  simdjson::dom::parser inner;  // Of the JSON inside a message.
  std::string text;

  Parsers() {
    if (inner.allocate(0, most_levels) != simdjson::SUCCESS) throw std::bad_alloc();
  }
};

template <typename T>
T needed(std::optional<T>& member, const Place& place) {
  if (!member) fail(place, "is missing");
  return *std::move(member);
}

// Reads the members of one message.
class Reader {
public:
  Reader(ondemand::document& message, simdjson::dom::parser& inner)
      : message_(message), inner_(inner) {}

  std::uint64_t number(ondemand::value& value, const Place& place) {
    std::uint64_t number = 0;
    if (value.get_uint64().get(number) != simdjson::SUCCESS) {
      bad(place, "a whole number from 0 to 18446744073709551615");
    }
    return number;
  }

  template <typename T>
  T number_up_to(ondemand::value& value, const Place& place) {
    constexpr auto most = std::numeric_limits<T>::max();
    const std::uint64_t read = number(value, place);
    if (read > static_cast<std::uint64_t>(most)) {
      bad(place, fmt::format("a whole number from 0 to {}", most));
    }
    return static_cast<T>(read);
  }

  Millis millis(ondemand::value& value, const Place& place) {
    std::int64_t ms = 0;
    if (value.get_int64().get(ms) != simdjson::SUCCESS || ms < -time_bound_ms ||
        ms > time_bound_ms) {
      bad(place, "a time in whole milliseconds");
    }
    return Millis(ms);
  }

  bool flag(ondemand::value& value, const Place& place) {
    bool flag = false;
    if (value.get_bool().get(flag) != simdjson::SUCCESS) bad(place, "true or false");
    return flag;
  }

  std::string text(ondemand::value& value, const Place& place) {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) bad(place, "text");
    return std::string(text);
  }

  std::uint64_t fingerprint(ondemand::value& value, const Place& place) {
    const std::string digits = text(value, place);
    std::uint64_t number = 0;
    const char* end = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), end, number, 16);
    if (digits.size() != 16 || read.ec != std::errc() || read.ptr != end) {
      bad(place, "16 hexadecimal digits");
    }
    return number;
  }

  // JSON as it stands. The outer reader only finds its end, so it is looked at here.
  std::string json(ondemand::value& value, const Place& place) {
    return std::string(looked_at(value, place));
  }

  std::string_view looked_at(ondemand::value& value, const Place& place) {
    std::string_view raw;
    if (simdjson::to_json_string(value).get(raw) != simdjson::SUCCESS) bad(place, "JSON");
    while (!raw.empty() && std::strchr(" \t\r\n", raw.back()) != nullptr) raw.remove_suffix(1);
    const simdjson::error_code error = inner_.parse(raw.data(), raw.size(), false).error();
    if (error == simdjson::DEPTH_ERROR) {
      fail(place, fmt::format("nests deeper than {} levels", most_levels));
    }
    if (error == simdjson::NUMBER_ERROR) fail(place, "has a number that is none, or out of range");
    if (error != simdjson::SUCCESS || !is_passed(value)) bad(place, "JSON");
    return raw;
  }

  // Looking at a scalar leaves the outer reader before it, from where it would take a text with a
  // colon behind it for a key.
  static bool is_passed(ondemand::value& value) {
    bool flag = false;
    double number = 0;
    ondemand::raw_json_string text;
    switch (value.type()) {
      case json_type::string: return value.get_raw_json_string().get(text) == simdjson::SUCCESS;
      case json_type::number: return value.get_double().get(number) == simdjson::SUCCESS;
      case json_type::boolean: return value.get_bool().get(flag) == simdjson::SUCCESS;
      case json_type::null: return value.is_null().get(flag) == simdjson::SUCCESS && flag;
      default: return true;
    }
  }

  // Empty where it is null.
  std::string object_text(ondemand::value& value, const Place& place) {
    const json_type type = value.type();
    if (type != json_type::object && type != json_type::null) bad(place, "an object");
    std::string text = json(value, place);
    if (type == json_type::null) text.clear();
    return text;
  }

  Json json_value(ondemand::value& value, const Place& place) {
    return Json::parse(json(value, place), nullptr, /*allow_exceptions=*/false);
  }

  // Calls `take(key, value)` for each member. What that does not read must be JSON all the same.
  template <typename Take>
  void each_member(ondemand::object& object, const Place& place, const Take& take) {
    for (auto result : object) {
      ondemand::field field;
      std::string_view key;
      if (std::move(result).get(field) != simdjson::SUCCESS ||
          field.unescaped_key().get(key) != simdjson::SUCCESS) {
        bad(place, "an object");
      }
      const char* before = reached();
      take(key, field.value());
      if (reached() == before) looked_at(field.value(), place[key]);
    }
  }

  template <typename Take>
  void each_member(ondemand::value& value, const Place& place, const Take& take) {
    ondemand::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) bad(place, "an object");
    each_member(object, place, take);
  }

  // What `read(value, place)` makes of each element.
  template <typename Read>
  auto list(ondemand::value& value, const Place& place, const Read& read,
            std::size_t most = most_elements) {
    std::vector<decltype(read(value, place))> list;
    ondemand::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) bad(place, "a list");
    for (auto result : array) {
      ondemand::value element;
      if (std::move(result).get(element) != simdjson::SUCCESS) bad(place, "a list");
      if (list.size() == most) fail(place, fmt::format("has more than {} elements", most));
      list.push_back(read(element, place.at(list.size())));
    }
    return list;
  }

  std::vector<std::string> texts(ondemand::value& value, const Place& place) {
    return list(value, place,
                [&](ondemand::value& element, const Place& here) { return text(element, here); });
  }

  Error error(ondemand::value& value, const Place& place) {
    ondemand::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) bad(place, "an object");
    return error(object, place);
  }

  Error error(ondemand::object& object, const Place& place) {
    std::optional<std::string> code;
    std::optional<std::string> message;
    std::string where;
    each_member(object, place, [&](std::string_view key, ondemand::value member) {
      if (is(key, "code")) {
        code = text(member, place["code"]);
      } else if (is(key, "message")) {
        message = text(member, place["message"]);
      } else if (is(key, "where")) {
        where = text(member, place["where"]);
      }
    });
    return {.code = code_named(needed(code, place["code"])),
            .message = needed(message, place["message"]),
            .where = std::move(where)};
  }

  StoredRequest request(ondemand::value& value, const Place& place) {
    std::optional<std::uint64_t> number_read;
    std::optional<std::string> id;
    std::optional<std::uint64_t> fingerprint_read;
    std::optional<std::string> answer;
    std::optional<Millis> at;
    each_member(value, place, [&](std::string_view key, ondemand::value member) {
      if (is(key, "number")) {
        number_read = number(member, place["number"]);
      } else if (is(key, "id")) {
        id = text(member, place["id"]);
      } else if (is(key, "fingerprint")) {
        fingerprint_read = fingerprint(member, place["fingerprint"]);
      } else if (is(key, "answer")) {
        answer = json(member, place["answer"]);
      } else if (is(key, "at")) {
        at = millis(member, place["at"]);
      }
    });
    return {.number = needed(number_read, place["number"]),
            .id = needed(id, place["id"]),
            .fingerprint = needed(fingerprint_read, place["fingerprint"]),
            .answer = needed(answer, place["answer"]),
            .at = Timestamp(needed(at, place["at"]))};
  }

  std::vector<StoredRequest> requests(ondemand::value& value, const Place& place) {
    return list(value, place, [&](ondemand::value& element, const Place& here) {
      return request(element, here);
    });
  }

  StoredCustomer row(ondemand::value& value, const Place& place) {
    std::optional<std::string> id;
    std::optional<std::uint64_t> version;
    std::optional<std::string> record;
    std::optional<std::vector<StoredRequest>> remembered;
    StoredCustomer row;
    each_member(value, place, [&](std::string_view key, ondemand::value member) {
      if (is(key, "id")) {
        id = text(member, place["id"]);
      } else if (is(key, "version")) {
        version = number(member, place["version"]);
      } else if (is(key, "record")) {
        record = object_text(member, place["record"]);
      } else if (is(key, "requests")) {
        remembered = requests(member, place["requests"]);
      } else if (is(key, "damage")) {
        row.damage = error(member, place["damage"]);
      }
    });
    row.id = needed(id, place["id"]);
    row.version = needed(version, place["version"]);
    row.record = needed(record, place["record"]);
    row.requests = needed(remembered, place["requests"]);
    return row;
  }

  std::vector<StoredCustomer> rows(ondemand::value& value, const Place& place) {
    return list(value, place,
                [&](ondemand::value& element, const Place& here) { return row(element, here); });
  }

  CustomerWrite write(ondemand::value& value, const Place& place) {
    std::optional<std::vector<std::string>> alts;
    std::optional<std::vector<StoredRequest>> added;
    std::optional<std::uint64_t> first;
    CustomerWrite write;
    each_member(value, place, [&](std::string_view key, ondemand::value member) {
      if (is(key, "record")) {
        write.record = object_text(member, place["record"]);
        if (write.record->empty()) bad(place["record"], "an object");
      } else if (is(key, "alts")) {
        alts = texts(member, place["alts"]);
      } else if (is(key, "requests")) {
        added = requests(member, place["requests"]);
      } else if (is(key, "first_request")) {
        first = number(member, place["first_request"]);
      }
    });
    write.alt_ids = needed(alts, place["alts"]);
    write.new_requests = needed(added, place["requests"]);
    write.first_request = needed(first, place["first_request"]);
    return write;
  }

  Part part(ondemand::value& value, const Place& place) {
    std::optional<std::string> id;
    std::optional<std::uint64_t> version;
    Part part;
    each_member(value, place, [&](std::string_view key, ondemand::value member) {
      if (is(key, "id")) {
        id = text(member, place["id"]);
      } else if (is(key, "version")) {
        version = number(member, place["version"]);
      } else if (is(key, "write")) {
        part.write = write(member, place["write"]);
      }
    });
    part.id = needed(id, place["id"]);
    part.version = needed(version, place["version"]);
    if (part.write) part.write->id = part.id;
    return part;
  }

  Transaction transaction(ondemand::value& value, const Place& place) {
    std::optional<std::uint64_t> number_read;
    std::optional<std::vector<Part>> parts;
    each_member(value, place, [&](std::string_view key, ondemand::value member) {
      if (is(key, "number")) {
        number_read = number(member, place["number"]);
      } else if (is(key, "parts")) {
        parts = list(member, place["parts"], [&](ondemand::value& element, const Place& here) {
          return part(element, here);
        });
      }
    });
    return {.number = needed(number_read, place["number"]), .parts = needed(parts, place["parts"])};
  }

  Exchanged exchanged(ondemand::value& value, const Place& place) {
    bool is_told = false;
    Exchanged result;
    each_member(value, place, [&](std::string_view key, ondemand::value member) {
      const Place here = place[key];
      if (is(key, "versions")) {
        result.is_written = is_told = true;
        result.versions = list(member, here, [&](ondemand::value& element, const Place& version) {
          return number(element, version);
        });
      } else if (is(key, "current")) {
        is_told = true;
        result.current = rows(member, here);
      } else if (is(key, "failure")) {
        is_told = true;
        result.failure = error(member, here);
      }
    });
    if (!is_told) bad(place, "`versions`, `current` or `failure`");
    return result;
  }

  HomeOf home(ondemand::value& value, const Place& place) {
    std::optional<std::string> engine;
    std::optional<std::vector<std::string>> ids;
    each_member(value, place, [&](std::string_view key, ondemand::value member) {
      if (is(key, "engine")) {
        engine = text(member, place["engine"]);
      } else if (is(key, "ids")) {
        ids = texts(member, place["ids"]);
      }
    });
    return {.engine = needed(engine, place["engine"]), .ids = needed(ids, place["ids"])};
  }

  PolicyVersion policy(ondemand::object& object, const Place& place) {
    std::optional<std::uint64_t> version;
    std::optional<std::string> document;
    each_member(object, place, [&](std::string_view key, ondemand::value member) {
      if (is(key, "version")) {
        version = number(member, place["version"]);
      } else if (is(key, "document")) {
        document = object_text(member, place["document"]);
      }
    });
    return {.version = needed(version, place["version"]),
            .document = needed(document, place["document"])};
  }

private:
  const char* reached() const {
    const char* place = nullptr;
    return message_.current_location().get(place) == simdjson::SUCCESS ? place : nullptr;
  }

  // One that a newer server has tells at least that the request was not done.
  static ErrorCode code_named(std::string_view name) {
    constexpr int most = static_cast<int>(ErrorCode::unauthorized);
    for (int code = 1; code <= most; ++code) {
      if (to_string(static_cast<ErrorCode>(code)) == name) return static_cast<ErrorCode>(code);
    }
    return ErrorCode::store_unavailable;
  }

  ondemand::document& message_;
  simdjson::dom::parser& inner_;
};

// Messages from engines.

Hello read_hello(Reader& reader, ondemand::object& object) {
  const Place root;
  std::optional<int> protocol;
  std::optional<std::string> engine;
  std::optional<std::string> limitr;
  std::optional<bool> deny_unconnected;
  Hello hello;
  reader.each_member(object, root, [&](std::string_view key, ondemand::value member) {
    if (is(key, "protocol")) {
      protocol = reader.number_up_to<int>(member, root["protocol"]);
    } else if (is(key, "engine")) {
      engine = reader.text(member, root["engine"]);
    } else if (is(key, "limitr")) {
      limitr = reader.text(member, root["limitr"]);
    } else if (is(key, "policy")) {
      hello.policy = reader.text(member, root["policy"]);
    } else if (is(key, "deny_unconnected")) {
      deny_unconnected = reader.flag(member, root["deny_unconnected"]);
    }
  });
  hello.protocol = needed(protocol, root["protocol"]);
  hello.engine = needed(engine, root["engine"]);
  hello.limitr = needed(limitr, root["limitr"]);
  hello.deny_unconnected = needed(deny_unconnected, root["deny_unconnected"]);
  return hello;
}

// The one list that a message consists of.
template <typename Read>
auto read_only_list(Reader& reader, ondemand::object& object, std::string_view name,
                    const Read& read, std::size_t most = most_elements) {
  const Place root;
  using List = decltype(reader.list(std::declval<ondemand::value&>(), root, read));
  std::optional<List> list;
  reader.each_member(object, root, [&](std::string_view key, ondemand::value member) {
    if (key == name) list = reader.list(member, root[name], read, most);
  });
  return needed(list, root[name]);
}

std::vector<std::string> read_only_texts(Reader& reader, ondemand::object& object,
                                         std::string_view name) {
  return read_only_list(reader, object, name, [&](ondemand::value& element, const Place& place) {
    return reader.text(element, place);
  });
}

Exchange read_exchange(Reader& reader, ondemand::object& object) {
  const auto read = [&](ondemand::value& element, const Place& place) {
    return reader.transaction(element, place);
  };
  return {read_only_list(reader, object, "transactions", read, store::most_transactions)};
}

RecallHomes read_recall(Reader& reader, ondemand::object& object) {
  return {read_only_list(reader, object, "homes", [&](ondemand::value& home, const Place& place) {
    return reader.home(home, place);
  })};
}

Scan read_scan(Reader& reader, ondemand::object& object) {
  const Place root;
  std::optional<std::string> after;
  std::optional<std::uint32_t> limit;
  reader.each_member(object, root, [&](std::string_view key, ondemand::value member) {
    if (is(key, "after")) {
      after = reader.text(member, root["after"]);
    } else if (is(key, "limit")) {
      limit = reader.number_up_to<std::uint32_t>(member, root["limit"]);
    }
  });
  return {.after = needed(after, root["after"]), .limit = needed(limit, root["limit"])};
}

Estimates read_estimates(Reader& reader, ondemand::object& object) {
  const Place root;
  Estimates estimates;
  reader.each_member(object, root, [&](std::string_view key, ondemand::value member) {
    if (is(key, "text")) estimates.text = reader.text(member, root["text"]);
  });
  return estimates;
}

Admin read_admin(Reader& reader, ondemand::object& object) {
  const Place root;
  std::optional<std::string> what;
  Admin admin;
  reader.each_member(object, root, [&](std::string_view key, ondemand::value member) {
    if (is(key, "do")) {
      what = reader.text(member, root["do"]);
    } else if (is(key, "args")) {
      admin.args = reader.json_value(member, root["args"]);
    }
  });
  admin.what = needed(what, root["do"]);
  return admin;
}

// A message that says all by its type; it must be whole all the same.
template <typename T>
T read_plain(Reader& reader, ondemand::object& object) {
  reader.each_member(object, Place(), [](std::string_view, ondemand::value) {});
  return {};
}

decltype(Request::body) read_request_body(Reader& reader, std::string_view type,
                                          ondemand::object& object) {
  if (type == "exchange") return read_exchange(reader, object);
  if (type == "renew") return read_plain<Renew>(reader, object);
  if (type == "read") return Read{read_only_texts(reader, object, "ids")};
  if (type == "recall") return read_recall(reader, object);
  if (type == "hello") return read_hello(reader, object);
  if (type == "scan") return read_scan(reader, object);
  if (type == "estimates") return read_estimates(reader, object);
  if (type == "bye") return read_plain<Bye>(reader, object);
  if (type == "admin") return read_admin(reader, object);
  fail(Place()["type"], fmt::format("`{}` is no message to a server", type));
}

// Messages from servers.

Welcome read_welcome(Reader& reader, ondemand::object& object) {
  const Place root;
  std::optional<int> protocol;
  std::optional<std::string> project;
  std::optional<std::string> server;
  std::optional<Millis> lease;
  std::optional<Millis> now;
  std::optional<std::uint64_t> max_message;
  std::optional<PolicyVersion> policy;
  reader.each_member(object, root, [&](std::string_view key, ondemand::value member) {
    const Place here = root[key];
    if (is(key, "protocol")) {
      protocol = reader.number_up_to<int>(member, here);
    } else if (is(key, "project")) {
      project = reader.text(member, here);
    } else if (is(key, "server")) {
      server = reader.text(member, here);
    } else if (is(key, "lease")) {
      lease = reader.millis(member, here);
    } else if (is(key, "now")) {
      now = reader.millis(member, here);
    } else if (is(key, "max_message")) {
      max_message = reader.number(member, here);
    } else if (is(key, "policy")) {
      ondemand::object inner;
      if (member.get_object().get(inner) != simdjson::SUCCESS) bad(here, "an object");
      policy = reader.policy(inner, here);
    }
  });
  return {.protocol = needed(protocol, root["protocol"]),
          .project = needed(project, root["project"]),
          .server = needed(server, root["server"]),
          .lease = needed(lease, root["lease"]),
          .now = Timestamp(needed(now, root["now"])),
          .max_message = needed(max_message, root["max_message"]),
          .policy = needed(policy, root["policy"])};
}

Rows read_rows(Reader& reader, ondemand::object& object) {
  const Place root;
  std::optional<std::vector<StoredCustomer>> rows;
  bool more = false;
  reader.each_member(object, root, [&](std::string_view key, ondemand::value member) {
    if (is(key, "rows")) {
      rows = reader.rows(member, root["rows"]);
    } else if (is(key, "more")) {
      more = reader.flag(member, root["more"]);
    }
  });
  return {.rows = needed(rows, root["rows"]), .more = more};
}

Exchangeds read_exchangeds(Reader& reader, ondemand::object& object) {
  return {
      read_only_list(reader, object, "results", [&](ondemand::value& element, const Place& place) {
        return reader.exchanged(element, place);
      })};
}

Renewed read_renewed(Reader& reader, ondemand::object& object) {
  const Place root;
  std::optional<Millis> lease;
  std::optional<Millis> now;
  reader.each_member(object, root, [&](std::string_view key, ondemand::value member) {
    if (is(key, "lease")) {
      lease = reader.millis(member, root["lease"]);
    } else if (is(key, "now")) {
      now = reader.millis(member, root["now"]);
    }
  });
  return {.lease = needed(lease, root["lease"]), .now = Timestamp(needed(now, root["now"]))};
}

Done read_done(Reader& reader, ondemand::object& object) {
  const Place root;
  Done done;
  reader.each_member(object, root, [&](std::string_view key, ondemand::value member) {
    if (is(key, "value")) done.value = reader.json_value(member, root["value"]);
  });
  return done;
}

decltype(Reply::body) read_reply_body(Reader& reader, std::string_view type,
                                      ondemand::object& object) {
  if (type == "exchanged") return read_exchangeds(reader, object);
  if (type == "renewed") return read_renewed(reader, object);
  if (type == "rows") return read_rows(reader, object);
  if (type == "recalled") return Recalled{read_only_texts(reader, object, "lost")};
  if (type == "recall") return RecallCustomers{read_only_texts(reader, object, "ids")};
  if (type == "changed") return ChangedRows{read_rows(reader, object).rows};
  if (type == "policy") return reader.policy(object, Place());
  if (type == "welcome") return read_welcome(reader, object);
  if (type == "estimates") return read_estimates(reader, object);
  if (type == "done") return read_done(reader, object);
  if (type == "error") return Failed{reader.error(object, Place())};
  fail(Place()["type"], fmt::format("`{}` is no message to an engine", type));
}

// Finds what every message begins with, as ours do; `object` is at its beginning again then.
struct Head {
  std::string type;
  std::optional<std::uint64_t> n;
};

std::optional<std::uint64_t> read_n(Reader& reader, ondemand::object& object) {
  ondemand::value value;
  const simdjson::error_code error = object.find_field_unordered("n").get(value);
  if (error == simdjson::NO_SUCH_FIELD) return std::nullopt;
  if (error != simdjson::SUCCESS) throw simdjson::simdjson_error(error);
  return reader.number(value, Place()["n"]);
}

Head read_head(Reader& reader, ondemand::object& object) {
  const Place root;
  ondemand::value value;
  const simdjson::error_code error = object.find_field_unordered("type").get(value);
  if (error == simdjson::NO_SUCH_FIELD) fail(root["type"], "is missing");
  if (error != simdjson::SUCCESS) throw simdjson::simdjson_error(error);
  Head head{.type = reader.text(value, root["type"]), .n = {}};
  head.n = read_n(reader, object);
  object.reset();
  return head;
}

Error invalid(std::string message, std::string where = {}) {
  return {.code = ErrorCode::invalid_argument,
          .message = std::move(message),
          .where = std::move(where)};
}

// Whatever `read(reader, object)` makes of a message.
template <typename T, typename Read>
Result<T> read_message(std::string_view text, const Read& read) {
  thread_local std::optional<Parsers> parsers;
  if (!parsers || parsers->text.capacity() > most_kept) parsers.emplace();
  parsers->text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  parsers->text.assign(text);
  try {
    ondemand::document document = parsers->message.iterate(parsers->text);
    if (document.type() != json_type::object) return invalid("a message must be an object");
    ondemand::object object = document.get_object();
    Reader reader(document, parsers->inner);
    T message = read(reader, object);
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
      return invalid("more text behind a message");
    }
    return message;
  } catch (const BadMember& member) {
    return invalid(member.message, member.where);
  } catch (const simdjson::simdjson_error& error) {
    return invalid(fmt::format("not JSON ({})", error.what()));
  }
}

}  // namespace

Result<Request> decode_request(std::string_view text) {
  return read_message<Request>(text, [](Reader& reader, ondemand::object& object) {
    Head head = read_head(reader, object);
    return Request{.n = needed(head.n, Place()["n"]),
                   .body = read_request_body(reader, head.type, object)};
  });
}

Result<Reply> decode_reply(std::string_view text) {
  return read_message<Reply>(text, [](Reader& reader, ondemand::object& object) {
    const Head head = read_head(reader, object);
    return Reply{.n = head.n, .body = read_reply_body(reader, head.type, object)};
  });
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  using Number = std::optional<std::uint64_t>;
  const Result<Number> n =
      read_message<Number>(text, [](Reader& reader, ondemand::object& object) -> Number {
        Number read = read_n(reader, object);
        object.reset();
        reader.each_member(object, Place(), [](std::string_view, ondemand::value) {});
        return read;
      });
  return n.ok() ? *n : std::nullopt;
}

}  // namespace limitr::wire
