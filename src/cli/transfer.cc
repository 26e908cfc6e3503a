// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <unistd.h>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/scenario/text_file.h"
#include "cli/signals.h"
#include "cli/store_commands.h"
#include "cli/terminal.h"
#include "env/atomic_file.h"
#include "open/transfer.h"

namespace limitr::cli {
namespace {

// What an import keeps in memory of the customers that it has written.
constexpr std::size_t import_loaded = 4'096;

Error asked_to_end() {
  return {.code = ErrorCode::io_failed, .message = "asked to end: nothing was written"};
}

/// Where an export goes: a file that is whole or not there, or standard output.
class Target {
public:
  static Result<Target> open(const std::string& file) {
    Target target;
    if (file.empty()) return target;
    auto replacement = env::FileReplacement::begin(file);
    if (!replacement.ok()) return std::move(replacement).error();
    target.file_.emplace(*std::move(replacement));
    return target;
  }

  Result<void> write(std::string_view piece) {
    if (file_) return file_->write(piece);
    // What a terminal would obey is spelled out, for which a text must be whole.
    if (is_terminal_) {
      shown_ += piece;
      return {};
    }
    if (std::fwrite(piece.data(), 1, piece.size(), stdout) == piece.size()) return {};
    return Error{.code = ErrorCode::io_failed,
                 .message = "cannot write the output: " + std::generic_category().message(errno)};
  }

  Result<void> end() {
    if (file_) return file_->commit();
    if (is_terminal_) print("{}\n", shown_);
    return {};
  }

private:
  std::optional<env::FileReplacement> file_;
  bool is_terminal_ = ::isatty(STDOUT_FILENO) == 1;
  std::string shown_;
};

/// An import's text, piece by piece, until somebody wants us to end.
class ImportText {
public:
  explicit ImportText(const scenario::TextFile& file)
      : file_(file), progress_("importing", file.size()) {}

  Result<std::size_t> next(std::span<char> room) {
    constexpr std::chrono::milliseconds patience(100);
    do {
      if (SignalsWait::is_asked_to_end()) {
        return Error{.code = ErrorCode::io_failed, .message = "asked to end: it was not read"};
      }
    } while (!file_.is_ready(patience));
    Result<std::size_t> count = file_.read(room);
    if (!count.ok()) return count;
    done_ += *count;
    progress_.at(done_);
    return count;
  }

private:
  const scenario::TextFile& file_;
  Progress progress_;
  std::uint64_t done_ = 0;
};

std::string counted(std::uint64_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

void write(JsonWriter& out, const LoadReport& report, std::uint64_t written) {
  out.begin_object().field("loaded", report.loaded).field("written", written);
  out.key("refused").begin_array();
  for (const auto& [id, error] : report.refused) {
    out.begin_object().field("id", id).field("code", to_string(error.code));
    out.field("message", error.message).field("where", error.where).end_object();
  }
  out.end_array().key("unmapped").begin_array();
  for (const auto& [customer, entitlement] : report.unmapped) {
    out.begin_object().field("customer", customer).field("entitlement", entitlement).end_object();
  }
  out.end_array().end_object();
}

void show(const LoadReport& report, std::uint64_t written, const ImportFileOptions& options) {
  const std::string name = scenario::shown_name(options.file);
  for (const auto& [id, error] : report.refused) {
    // Without an ID it is the text itself that could not be read on.
    const std::string what = id.empty() ? "the rest" : "customer " + id;
    trouble(fmt::format("{}: {} was refused: {}", name, what, error.to_string()));
  }
  for (const auto& [customer, entitlement] : report.unmapped) {
    trouble(fmt::format("{}: customer {} has a meter `{}` that no plan has today", name, customer,
                        entitlement));
  }
  print("{} loaded, {} refused, {} written to {}\n", counted(report.loaded, "customer"),
        report.refused.size(), counted(written, "record"), options.use.url);
}

}  // namespace

int export_records(const ExportOptions& options) {
  auto store = open_to_read(options.use);
  if (!store.ok()) return trouble(store.error().to_string());
  Result<Exported> exported = [&]() -> Result<Exported> {
    // A half file is not left behind, also where somebody wants us to end.
    const SignalsWait wait;
    auto target = Target::open(options.file);
    if (!target.ok()) return target.error();
    Progress progress("exporting", store->stored.opened().customers);
    auto done = export_store(
        store->stored, [&](std::string_view piece) { return target->write(piece); },
        [&](std::uint64_t customers) -> Result<void> {
          progress.at(customers);
          if (SignalsWait::is_asked_to_end()) return asked_to_end();
          return {};
        });
    if (!done.ok()) return done;
    if (auto ended = target->end(); !ended.ok()) return ended.error();
    return done;
  }();
  if (!exported.ok()) return trouble(exported.error().to_string());
  name_damage(exported->damage);
  if (!options.file.empty()) {
    print("{} and {} exported to {}\n", counted(exported->customers, "customer"),
          counted(exported->requests, "request"), options.file);
  }
  return exported->damage.empty() ? exit_fine : exit_negative;
}

int import_file(const ImportFileOptions& options) {
  const auto file = scenario::TextFile::open(options.file);
  if (!file.ok()) return trouble(file.error().to_string());
  // What has begun is written out and reported, whoever wants us to end meanwhile.
  const SignalsWait wait;
  StoreUse use = options.use;
  use.max_loaded = import_loaded;
  auto limitr = open_to_write(use);
  if (!limitr.ok()) return trouble(limitr.error().to_string());
  Result<LoadReport> report = [&] {
    ImportText text(*file);
    return import_records(*limitr, [&](std::span<char> room) { return text.next(room); },
                          {.replace = options.replace});
  }();
  const auto closed = limitr->close();
  if (!report.ok()) {
    const bool is_of_file = report.error().code == ErrorCode::record_invalid;
    return trouble((is_of_file ? scenario::in_file(report.error(), options.file) : report.error())
                       .to_string());
  }
  if (!closed.ok()) return trouble(closed.error().to_string());
  if (options.json) {
    std::string json;
    JsonWriter out(json);
    write(out, *report, *closed);
    print("{}\n", json);
  } else {
    show(*report, *closed, options);
  }
  std::fflush(stdout);
  return report->refused.empty() ? exit_fine : exit_negative;
}

}  // namespace limitr::cli
