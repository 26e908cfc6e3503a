// SPDX-License-Identifier: Apache-2.0
#include "store/file/pair.h"

#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "store/file/document.h"
#include "store/file/journal.h"

namespace limitr::store::file {
namespace {

// A reader may meet the owner between two steps; the next look is after them.
constexpr int looks = 200;
constexpr std::chrono::milliseconds a_moment{1};

Error corrupt(std::string message) {
  return {.code = ErrorCode::data_corrupt, .message = std::move(message)};
}

/// A file and what it is; not open where there is none.
struct Opened {
  std::shared_ptr<env::Descriptor> file;
  std::string text;

  bool is_there() const { return file->is_open(); }
};

Result<Opened> open_file(FileSystem& files, const std::string& path) {
  Opened opened{.file = std::make_shared<env::Descriptor>(files.open(path, O_RDONLY)), .text = {}};
  if (!opened.is_there() && errno != ENOENT) return failed(path);
  return opened;
}

Result<void> read_file(FileSystem& files, const std::string& path, Opened& opened) {
  if (!opened.is_there()) return {};
  Result<std::string> text = read_all(files, opened.file->number(), path);
  if (!text.ok()) return std::move(text).error();
  opened.text = *std::move(text);
  return {};
}

class PairReader {
public:
  PairReader(FileSystem& files, const std::string& path, bool keeps)
      : files_(files), path_(path), journal_path_(journal_of(path)), keeps_(keeps) {}

  /// None: the owner was between two steps, or at a frame: look again.
  std::optional<Result<Pair>> look(bool is_last) {
    if (auto opened = open_both(); !opened.ok()) return std::move(opened).error();
    // A journal was folded into a JSON that we do not have.
    if (!mark_of_open(json_).is_same_file(mark_at(path_))) return std::nullopt;
    if (auto read = read_file(files_, path_, json_); !read.ok()) return std::move(read).error();
    if (auto read = read_file(files_, journal_path_, journal_); !read.ok()) {
      return std::move(read).error();
    }
    if (!json_.is_there()) return without_json(is_last);
    Result<Pair> pair = combine();
    // What cannot be is damaged, or half of a step.
    const bool is_odd = !pair.ok() || !pair->damage.empty();
    if (is_odd && !is_last && has_moved_on()) return std::nullopt;
    return pair;
  }

private:
  Result<void> open_both() {
    Result<Opened> json = open_file(files_, path_);
    if (!json.ok()) return std::move(json).error();
    Result<Opened> journal = open_file(files_, journal_path_);
    if (!journal.ok()) return std::move(journal).error();
    json_ = *std::move(json);
    journal_ = *std::move(journal);
    json_mark_ = mark_of_open(json_);
    journal_mark_ = mark_of_open(journal_);
    return {};
  }

  static Mark mark_of_open(const Opened& opened) {
    return opened.is_there() ? mark_of(opened.file->number()) : Mark{};
  }

  bool has_moved_on() const {
    return mark_at(path_) != json_mark_ || mark_at(journal_path_) != journal_mark_;
  }

  std::optional<Result<Pair>> without_json(bool is_last) const {
    if (!journal_.is_there()) return Pair();
    if (!is_last && has_moved_on()) return std::nullopt;
    return corrupt(
        fmt::format("`{}` is there without the file that it belongs to: put that back, "
                    "or move the journal away",
                    journal_path_));
  }

  Result<Pair> combine() {
    const std::string kept = keeps_ ? kept_of(path_) : std::string();
    Result<ReadDocument> document = read_document(json_.text, path_, kept);
    if (!document.ok()) return std::move(document).error();
    Pair pair{.contents = std::move(document->contents),
              .damage = std::move(document->damage),
              .is_there = true,
              .json = json_mark_,
              .journal = journal_mark_,
              .json_text = std::move(json_.text),
              .journal_text = {},
              .files = {json_.file, journal_.file}};
    if (!journal_.is_there()) return pair;
    if (auto added = add_journal(*document, pair); !added.ok()) return std::move(added).error();
    return pair;
  }

  Result<void> add_journal(const ReadDocument& document, Pair& pair) {
    const std::optional<JournalHeader> header = read_header(journal_.text);
    if (!header) {
      // The version is not proven by anything: it may be another one by damage.
      const std::optional<char> version = later_version(journal_.text);
      const std::string what =
          version ? fmt::format(
                        "begins as a journal of version {} does, and this limitr knows "
                        "version {}: open it with the one that has written it; if that is "
                        "this one, it is damaged",
                        *version, journal_version)
                  : "does not begin as a journal does: it is damaged";
      return corrupt(
          fmt::format("`{}` {}; restore a backup, or move it away to go on from group {}",
                      journal_path_, what, pair.contents.last_group));
    }
    if (!document.is_sealed) {
      return corrupt(
          fmt::format("`{}` was made or changed by hand, and `{}` has changes of what "
                      "was there before: put that back, or move the journal away",
                      path_, journal_path_));
    }
    const std::uint64_t generation = pair.contents.generation;
    if (header->generation < generation) return {};
    if (*header != JournalHeader{generation, document.seal}) {
      return corrupt(
          fmt::format("`{}` belongs to another state of `{}` than the one that is "
                      "there: put that back, or move the journal away",
                      journal_path_, path_));
    }
    const std::string kept =
        keeps_ ? fmt::format("{}{}.journal", kept_of(path_), generation) : std::string();
    auto damage = replay(journal_.text, journal_path_, kept, document.seal, pair.contents);
    if (!damage.ok()) return std::move(damage).error();
    pair.damage.insert(pair.damage.end(), damage->begin(), damage->end());
    pair.journal_text = std::move(journal_.text);
    return {};
  }

  FileSystem& files_;
  const std::string path_;
  const std::string journal_path_;
  const bool keeps_;
  Opened json_;
  Opened journal_;
  Mark json_mark_;
  Mark journal_mark_;
};

}  // namespace

std::string journal_of(const std::string& path) { return path + ".journal"; }
std::string kept_of(const std::string& path) { return path + ".damaged-"; }

Result<Pair> read_pair(FileSystem& files, const std::string& path, bool keeps) {
  for (int look = 1;; ++look) {
    PairReader reader(files, path, keeps);
    if (auto pair = reader.look(look == looks)) return *std::move(pair);
    if (look == looks) {
      return Error{.code = ErrorCode::store_unavailable,
                   .message = fmt::format("`{}` is replaced all the time", path)};
    }
    std::this_thread::sleep_for(a_moment);
  }
}

}  // namespace limitr::store::file
