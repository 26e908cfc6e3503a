// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <limitr/result.h>

#include "env/descriptor.h"
#include "store/file/contents.h"
#include "store/file/file_system.h"
#include "store/file/pair.h"
#include "store/store.h"

namespace limitr::store::file {

/// The owner's hand on both files: the only one that writes to them.
///
/// INVARIANT: it has never failed in a way that leaves open what is on the disk. Whoever gets an
/// error from it lets go of it; what stands in the files is read again.
class Writer {
public:
  /// Reads what is there, begins a new epoch and writes all of it anew. `path` is a resolved one
  /// that the caller holds the lock of; `epoch` is the one that he began when he opened it before,
  /// else 0. `damage` gets what was not what was written. Errors: those of read_pair();
  /// store_fenced, where another epoch has begun since that one.
  static Result<std::unique_ptr<Writer>> open(FileSystem& files, const std::string& path,
                                              const Owner& owner, std::uint64_t epoch,
                                              Contents& contents, std::vector<std::string>& damage);

  /// Adds a group to the journal. After an error, nothing of it was written, but for
  /// outcome_unknown.
  Result<void> commit(const Group& group);
  /// Whether the journal has outgrown the JSON.
  bool wants_fold() const { return journal_size_ > fold_at_; }
  /// Whether the journal has what the JSON has not.
  bool has_frames() const { return has_frames_; }
  /// Writes all of `contents`, which is what was committed, and begins another journal. What was
  /// committed is safe whatever becomes of it. False: it could not, and the journal goes on.
  Result<bool> fold(Contents& contents);
  /// Writes all of `contents`, and takes the journal away: the JSON is all there is.
  Result<void> finish(Contents& contents);

  /// That it could not write all anew, and what was committed is safe.
  Error not_folded() const;

  std::uint64_t bytes() const { return json_size_ + journal_size_; }

private:
  Writer(FileSystem& files, const std::string& path)
      : files_(files), path_(path), journal_path_(journal_of(path)) {}

  Result<void> begin(Contents& contents);
  Result<void> write_json(Contents& contents);
  Result<void> begin_journal(const Contents& contents);
  Result<bool> rewrite_json(Contents& contents);
  Result<void> check_ours() const;
  Error replaced_error() const;
  Result<void> append(const std::string& frame);

  FileSystem& files_;
  const std::string path_;
  const std::string journal_path_;
  std::uint64_t epoch_ = 0;
  std::uint64_t seal_ = 0;
  Mark owner_;  // The file of the caller's lock, which he keeps open.
  Mark json_;
  std::uint64_t json_size_ = 0;
  std::unique_ptr<env::Descriptor> json_file_;  // So that no other file gets its number.
  std::unique_ptr<env::Descriptor> journal_;
  std::uint64_t journal_size_ = 0;
  bool has_frames_ = false;
  std::uint64_t fold_at_ = 0;
};

}  // namespace limitr::store::file
