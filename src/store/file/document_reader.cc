// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "store/checksum.h"
#include "store/file/document.h"

namespace limitr::store::file {
namespace {

using simdjson::ondemand::object;
using simdjson::ondemand::value;

constexpr std::string_view before_sum = R"("store":{"sum":")";
constexpr std::string_view before_body = R"(","body":)";
constexpr std::string_view behind_body = "}}\n";
constexpr std::size_t sum_size = 16;

std::uint64_t from_hex(std::string_view hex) {
  std::uint64_t number = 0;
  std::from_chars(hex.data(), hex.data() + hex.size(), number, 16);
  return number;
}

/// What the last line of a file holds.
struct Seal {
  std::string_view body;
  std::uint64_t sum = 0;
  std::size_t at = 0;  ///< Where the line begins.
};

/// None: the last line is not what to_document() ends with.
std::optional<Seal> find_seal(std::string_view text) {
  if (!text.ends_with(behind_body)) return std::nullopt;
  Seal seal;
  seal.at = text.rfind('\n', text.size() - 2);
  if (seal.at == std::string_view::npos) return std::nullopt;
  ++seal.at;
  std::string_view line = text.substr(seal.at);
  if (!line.starts_with(before_sum)) return std::nullopt;
  line.remove_prefix(before_sum.size());
  const std::string_view sum = line.substr(0, sum_size);
  if (line.size() < sum_size || !line.substr(sum_size).starts_with(before_body)) {
    return std::nullopt;
  }
  line.remove_prefix(sum_size + before_body.size());
  if (line.size() < behind_body.size()) return std::nullopt;
  line.remove_suffix(behind_body.size());
  seal.body = line;
  seal.sum = Checksum().add(line).value();
  // As text: a damaged digit of another case would read as the same number.
  if (fmt::format("{:016x}", seal.sum) != sum) return std::nullopt;
  return seal;
}

std::uint64_t number_of(value from) { return static_cast<std::uint64_t>(std::int64_t(from)); }

std::string bytes_of(value from) {
  if (from.type() == simdjson::ondemand::json_type::string) {
    return std::string(std::string_view(from));
  }
  const std::string_view hex = from.get_object()["hex"];
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(from_hex(hex.substr(i, 2))));
  }
  return bytes;
}

/// Reads a body whose sum is right: what is not as it was written is an error of ours, and
/// simdjson's exception says so.
class BodyReader {
public:
  BodyReader(std::string_view text, const Seal& seal, std::string kept)
      : text_(text), seal_(seal), kept_(std::move(kept)) {}

  /// False: the rest of the file is not the one that the body describes.
  bool read(object body) {
    Contents& contents = read_.contents;
    contents.generation = number_of(body["generation"]);
    contents.epoch = number_of(body["epoch"]);
    contents.owner.host = bytes_of(body["host"]);
    contents.owner.process = std::int64_t(body["process"]);
    contents.owner.since = Timestamp(Millis(std::int64_t(body["since"])));
    contents.last_group = number_of(body["last_group"]);
    if (number_of(body["bytes"]) != seal_.at) return false;
    if (!kept_.empty()) kept_ += std::to_string(contents.generation);
    read_text(body, "estimates", contents.estimates);
    read_text(body, "policy", contents.policy);
    for (object customer : body["customers"].get_array()) read_customer(customer);
    read_.seal = seal_.sum;
    read_.is_sealed = true;
    return true;
  }

  ReadDocument take() { return std::move(read_); }

private:
  /// A text of these fields, as it is there now; empty where there is none.
  std::string text_of(object described) {
    value found;
    if (described["text"].get(found) == simdjson::SUCCESS) return bytes_of(found);
    if (described["at"].get(found) != simdjson::SUCCESS) return {};
    const std::uint64_t at = number_of(found);
    const std::uint64_t size = number_of(described["size"]);
    if (at > seal_.at || size > seal_.at - at) return {};
    return std::string(text_.substr(at, size));
  }

  std::string say(const std::string& what) {
    read_.damage.push_back(fmt::format(
        "{} is not what was written{}", what,
        kept_.empty() ? "" : fmt::format(": the file as it was found is kept as `{}`", kept_)));
    return read_.damage.back();
  }

  void read_text(object body, std::string_view name, std::optional<Text>& into) {
    value found;
    if (body[name].get(found) != simdjson::SUCCESS) return;
    object described = found.get_object();
    into.emplace();
    if (described["damage"].get(found) == simdjson::SUCCESS) {
      into->damage = bytes_of(found);
      return;
    }
    std::string text = text_of(described);
    const std::uint64_t sum = from_hex(described["sum"]);
    if (sum == record_checksum(name, read_.contents.generation, text)) {
      into->text = std::move(text);
    } else {
      into->damage = say(fmt::format("the text `{}`", name));
    }
  }

  void read_customer(object described) {
    Kept kept;
    const std::string id = bytes_of(described["id"]);
    kept.version = number_of(described["version"]);
    kept.record = text_of(described);
    const std::uint64_t sum = from_hex(described["sum"]);
    value found;
    if (described["damage"].get(found) == simdjson::SUCCESS) kept.damage = bytes_of(found);
    if (sum != record_checksum(id, kept.version, kept.record)) {
      kept.record.clear();
      kept.damage = say(fmt::format("the customer `{}`", id));
    }
    for (value alt : described["alt_ids"].get_array()) kept.alt_ids.push_back(bytes_of(alt));
    for (object request : described["requests"].get_array()) read_request(id, request, kept);
    read_.contents.put(id, std::make_shared<const Kept>(std::move(kept)));
  }

  void read_request(const std::string& customer, object described, Kept& kept) {
    StoredRequest request;
    request.number = number_of(described["number"]);
    request.id = bytes_of(described["id"]);
    request.fingerprint = from_hex(described["fingerprint"]);
    request.at = Timestamp(Millis(std::int64_t(described["when"])));
    request.answer = text_of(described);
    const std::uint64_t sum = from_hex(described["sum"]);
    if (sum == request_checksum(customer, request)) {
      kept.requests.push_back(std::make_shared<const StoredRequest>(std::move(request)));
      return;
    }
    const std::string what = fmt::format("request `{}` of the customer `{}`", request.id, customer);
    std::string damage = say(what);
    if (!kept.damage) kept.damage = std::move(damage);
  }

  const std::string_view text_;
  const Seal& seal_;
  std::string kept_;
  ReadDocument read_;
};

Result<ReadDocument> read_sealed(std::string_view text, const Seal& seal, const std::string& path,
                                 const std::string& kept) {
  try {
    const simdjson::padded_string padded(seal.body);
    simdjson::ondemand::parser parser;
    simdjson::ondemand::document document = parser.iterate(padded);
    object body = document.get_object();
    const std::uint64_t schema = number_of(body["schema"]);
    if (schema > schema_version) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("`{}` was written by a newer limitr (files of version "
                                          "{}; this one knows {}): open it with that",
                                          path, schema, schema_version)};
    }
    BodyReader reader(text, seal, kept);
    if (!reader.read(body)) return unproven(path, "has grown or shrunk since it was written");
    return reader.take();
  } catch (const simdjson::simdjson_error& error) {
    return unproven(path, fmt::format("has a last member that cannot be read ({})", error.what()));
  }
}

}  // namespace

Result<ReadDocument> read_document(std::string_view text, const std::string& path,
                                   const std::string& kept) {
  if (const std::optional<Seal> seal = find_seal(text)) return read_sealed(text, *seal, path, kept);
  return read_portable(text, path);
}

}  // namespace limitr::store::file
