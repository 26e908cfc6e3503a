// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <map>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "store/file/document.h"

// An export: made by an engine, or by hand out of what a store has written. Nothing proves what is
// in it, so it must be one wholly: nothing that it should not have, and nothing twice.
namespace limitr::store::file {
namespace {

using simdjson::ondemand::json_type;
using simdjson::ondemand::object;
using simdjson::ondemand::value;

bool is_null(value& of) { return of.type() == json_type::null; }

std::string raw_text(value from) {
  return std::string(std::string_view(simdjson::to_json_string(from)));
}

class PortableReader {
public:
  explicit PortableReader(std::string path) : path_(std::move(path)) {}

  Result<ReadDocument> read(object root) {
    for (auto field : root) {
      const std::string name(std::string_view(field.unescaped_key()));
      if (auto good = read_member(name, field.value()); !good.ok()) return std::move(good).error();
    }
    if (!has_format_) {
      return refuse(ErrorCode::invalid_argument, "is no export of limitr: it has no `format`");
    }
    if (auto good = finish(); !good.ok()) return std::move(good).error();
    return std::move(read_);
  }

private:
  Error refuse(ErrorCode code, std::string_view what) const {
    return {.code = code, .message = fmt::format("`{}` {}", path_, what)};
  }

  Result<void> read_member(const std::string& name, value member) {
    if (name == "format") {
      has_format_ = true;
      const double format = member;
      if (format != portable_format) {
        return refuse(ErrorCode::invalid_argument,
                      fmt::format("is of format {}, and this limitr reads format {}", format,
                                  portable_format));
      }
    } else if (name == "customers") {
      for (auto field : member.get_object()) {
        std::string id(std::string_view(field.unescaped_key()));
        if (auto good = read_customer(std::move(id), field.value()); !good.ok()) return good;
      }
    } else if (name == "requests") {
      if (is_null(member)) return {};
      for (object request : member.get_array()) read_request(request);
    } else if (name == "estimates") {
      if (!is_null(member)) read_.contents.estimates = Text{.text = raw_text(member)};
    } else if (name == "policy") {
      if (!is_null(member)) read_.contents.policy = Text{.text = raw_text(member)};
    } else if (name == "store") {
      return unproven(path_, "is not what was written");
    } else {
      return refuse(ErrorCode::data_corrupt,
                    fmt::format("has a member `{}`, which no export has: it is damaged, or from "
                                "another program",
                                name));
    }
    return {};
  }

  Result<void> read_customer(std::string id, value record) {
    Kept kept{.version = 1};
    object fields = record.get_object();
    kept.record = std::string_view(simdjson::to_json_string(fields));
    fields.reset();
    value alts;
    if (fields["alt_ids"].get(alts) == simdjson::SUCCESS && !is_null(alts)) {
      for (value alt : alts.get_array()) kept.alt_ids.emplace_back(std::string_view(alt));
    }
    if (customers_.try_emplace(id, std::move(kept)).second) return {};
    return refuse(ErrorCode::data_corrupt, fmt::format("has the customer `{}` twice", id));
  }

  void read_request(object fields) {
    auto request = std::make_shared<StoredRequest>();
    std::string customer;
    for (auto field : fields) {
      const std::string name(std::string_view(field.unescaped_key()));
      value member = field.value();
      if (name == "customer") {
        customer = std::string_view(member);
      } else if (name == "request") {
        request->id = std::string_view(member);
      } else if (name == "fingerprint") {
        const std::string_view hex = member;
        std::from_chars(hex.data(), hex.data() + hex.size(), request->fingerprint, 16);
      } else if (name == "answer") {
        request->answer = raw_text(member);
      } else if (name == "at") {
        request->at = Timestamp(Millis(std::int64_t(member)));
      }
    }
    requests_.emplace_back(std::move(customer), std::move(request));
  }

  Result<void> finish() {
    for (auto& [customer, request] : requests_) {
      const auto found = customers_.find(customer);
      if (found == customers_.end()) {
        return refuse(
            ErrorCode::data_corrupt,
            fmt::format("has a request of the customer `{}`, who is not there", customer));
      }
      request->number = found->second.requests.size() + 1;
      found->second.requests.push_back(std::move(request));
    }
    for (auto& [id, kept] : customers_) {
      read_.contents.put(id, std::make_shared<const Kept>(std::move(kept)));
    }
    // Whoever has seen an empty store has seen none of this.
    read_.contents.last_group = 1;
    return {};
  }

  const std::string path_;
  ReadDocument read_;
  bool has_format_ = false;
  std::map<std::string, Kept> customers_;
  std::vector<std::pair<std::string, std::shared_ptr<StoredRequest>>> requests_;
};

/// Whether a text that cannot be read could be, were it not for its last line.
bool is_good_before_last_line(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  text = text.substr(0, text.rfind('\n') + 1);
  if (!text.ends_with(",\n")) return false;
  std::string before(text.substr(0, text.size() - 2));
  before += '}';
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  return parser.parse(before).get(root) == simdjson::SUCCESS && root["format"].is_number();
}

Error unreadable(std::string_view text, const std::string& path, std::string_view why) {
  std::string message = fmt::format(
      "`{}` cannot be read ({}): it breaks off, is damaged, or is no export of limitr; restore a "
      "backup",
      path, why);
  if (is_good_before_last_line(text)) {
    message += fmt::format(
        ". What stands before its last line can be read: to take that as it stands, though nothing "
        "proves it any more, move `{0}.journal` away, if it is there, and put what "
        "`sed '$d' '{0}' | sed '$s/,$/}}/'` prints in the place of the file",
        path);
  }
  return {.code = ErrorCode::data_corrupt, .message = std::move(message)};
}

}  // namespace

Error unproven(const std::string& path, std::string_view what) {
  return {.code = ErrorCode::data_corrupt,
          .message = fmt::format(
              "`{0}` {1}: restore a backup; if it was changed by hand, or to take it as it stands, "
              "though nothing proves it any more, move `{0}.journal` away, if it is there, and "
              "remove its last member, `store`: `jq 'del(.store)' '{0}'` prints the rest",
              path, what)};
}

Result<ReadDocument> read_portable(std::string_view text, const std::string& path) {
  try {
    const simdjson::padded_string padded(text);
    // On demand, only what is looked at is checked: this looks at all.
    simdjson::dom::parser checker;
    simdjson::dom::element checked = checker.parse(padded);
    if (!checked.is_object()) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("`{}` is no export of limitr", path)};
    }
    simdjson::ondemand::parser parser;
    simdjson::ondemand::document document = parser.iterate(padded);
    return PortableReader(path).read(document.get_object());
  } catch (const simdjson::simdjson_error& error) {
    return unreadable(text, path, error.what());
  }
}

}  // namespace limitr::store::file
