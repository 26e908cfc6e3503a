// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/json_writer.h"
#include "store/checksum.h"
#include "store/file/document.h"

namespace limitr::store::file {
namespace {

std::string to_hex(std::uint64_t number) { return fmt::format("{:016x}", number); }

// Texts of the port may be any bytes, which JSON cannot say.
void write_bytes(JsonWriter& json, std::string_view bytes) {
  if (is_utf8(bytes)) {
    json.value(bytes);
    return;
  }
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  json.begin_object().field("hex", hex).end_object();
}

/// Where a text stands in the portable part; none: it is not portable, and stands in the body.
using Place = std::optional<std::size_t>;

class DocumentWriter {
public:
  explicit DocumentWriter(const Contents& contents) : contents_(contents), body_(body_text_) {}

  Document write() {
    write_customers();
    text_ += R"(,"estimates":)";
    const Place estimates = write_text(contents_.estimates, "{}");
    write_requests();
    Place policy;
    if (contents_.policy) {
      text_ += R"(,"policy":)";
      policy = write_text(contents_.policy, "null");
    }
    text_ += ",\n";
    write_body(estimates, policy);
    const std::uint64_t seal = Checksum().add(body_text_).value();
    text_ += fmt::format(R"("store":{{"sum":"{}","body":)", to_hex(seal));
    text_ += body_text_;
    text_ += "}}\n";
    return {.text = std::move(text_), .seal = seal};
  }

private:
  bool is_object(const std::string& text) {
    simdjson::dom::element element;
    return parser_.parse(text).get(element) == simdjson::SUCCESS && element.is_object();
  }

  bool is_answer(const std::string& text) {
    simdjson::dom::element element;
    if (parser_.parse(text).get(element) != simdjson::SUCCESS) return false;
    return element.is_bool() || element.is_string() || element.is_object();
  }

  void write_customers() {
    std::size_t size = 0;
    for (const auto& [id, kept] : contents_.customers())
      size += id.size() + kept->record.size() + 8;
    text_.reserve(size + size / 4);
    text_ += fmt::format(R"({{"format":{},"customers":{{)", portable_format);
    const char* divider = "\n";
    for (const auto& [id, kept] : contents_.customers()) {
      Place& place = records_.emplace_back();
      if (!is_utf8(id) || !is_object(kept->record)) continue;
      text_ += std::exchange(divider, ",\n");
      JsonWriter(text_).value(id);
      text_ += ':';
      place = text_.size();
      text_ += kept->record;
    }
    text_ += "\n}";
  }

  void write_requests() {
    text_ += R"(,"requests":[)";
    const char* divider = "\n";
    for (const auto& [id, kept] : contents_.customers()) {
      for (const auto& request : kept->requests) {
        Place& place = answers_.emplace_back();
        if (!is_utf8(id) || !is_utf8(request->id) || !is_answer(request->answer)) continue;
        text_ += std::exchange(divider, ",\n");
        place = write_request(id, *request);
      }
    }
    text_ += "\n]";
  }

  std::size_t write_request(const std::string& customer, const StoredRequest& request) {
    JsonWriter json(text_);
    json.begin_object()
        .field("customer", customer)
        .field("request", request.id)
        .field("fingerprint", to_hex(request.fingerprint))
        .key("answer");
    const std::size_t place = text_.size();
    json.raw(request.answer).field("at", request.at).end_object();
    return place;
  }

  Place write_text(const std::optional<Text>& text, std::string_view otherwise) {
    const bool is_portable = text && !text->damage && is_object(text->text);
    const std::size_t place = text_.size();
    text_ += is_portable ? std::string_view(text->text) : otherwise;
    return is_portable ? Place(place) : std::nullopt;
  }

  void write_body(Place estimates, Place policy) {
    body_.begin_object()
        .field("schema", schema_version)
        .field("generation", contents_.generation)
        .field("epoch", contents_.epoch)
        .key("host");
    write_bytes(body_, contents_.owner.host);
    body_.field("process", contents_.owner.process)
        .field("since", contents_.owner.since)
        .field("last_group", contents_.last_group)
        .field("bytes", text_.size());
    describe("estimates", contents_.estimates, estimates);
    describe("policy", contents_.policy, policy);
    body_.key("customers").begin_array();
    std::size_t customer = 0;
    std::size_t request = 0;
    for (const auto& [id, kept] : contents_.customers()) {
      describe(id, *kept, records_[customer++], request);
    }
    body_.end_array().end_object();
  }

  // A text that stands at a place, in the body, or nowhere because it was damaged.
  void describe(std::string_view name, const std::optional<Text>& text, Place place) {
    if (!text) return;
    body_.key(name).begin_object();
    if (text->damage) {
      body_.key("damage");
      write_bytes(body_, *text->damage);
    } else {
      describe_text(text->text, place);
      body_.field("sum", to_hex(record_checksum(name, contents_.generation, text->text)));
    }
    body_.end_object();
  }

  void describe_text(const std::string& text, Place place) {
    if (place) {
      body_.field("at", *place).field("size", text.size());
    } else {
      body_.key("text");
      write_bytes(body_, text);
    }
  }

  void describe(const std::string& id, const Kept& kept, Place record, std::size_t& request) {
    body_.begin_object().key("id");
    write_bytes(body_, id);
    body_.field("version", kept.version);
    describe_text(kept.record, record);
    body_.field("sum", to_hex(record_checksum(id, kept.version, kept.record)));
    if (kept.damage) {
      body_.key("damage");
      write_bytes(body_, *kept.damage);
    }
    body_.key("alt_ids").begin_array();
    for (const std::string& alt : kept.alt_ids) {
      if (contents_.leads_to(alt, id)) write_bytes(body_, alt);
    }
    body_.end_array().key("requests").begin_array();
    for (const auto& kept_request : kept.requests) {
      describe(id, *kept_request, answers_[request++]);
    }
    body_.end_array().end_object();
  }

  void describe(const std::string& customer, const StoredRequest& request, Place answer) {
    body_.begin_object().field("number", request.number).key("id");
    write_bytes(body_, request.id);
    body_.field("fingerprint", to_hex(request.fingerprint)).field("when", request.at);
    describe_text(request.answer, answer);
    body_.field("sum", to_hex(request_checksum(customer, request))).end_object();
  }

  const Contents& contents_;
  std::string text_;
  std::string body_text_;
  JsonWriter body_;
  std::vector<Place> records_;  // Of each customer, in their order
  std::vector<Place> answers_;  // Of each request, in their order
  simdjson::dom::parser parser_;
};

}  // namespace

Document to_document(const Contents& contents) { return DocumentWriter(contents).write(); }

}  // namespace limitr::store::file
