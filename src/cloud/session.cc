// SPDX-License-Identifier: Apache-2.0
#include "cloud/session.h"

#include <algorithm>

namespace limitr::cloud {

Session::Moment Session::dead_at() const {
  return std::max(*renewal_sent_, last_heard_) + lease_ / 3;
}

Session::Task Session::due(Moment now) const {
  if (state_ == State::trying || now < next()) return Task::none;
  if (state_ == State::resting) return Task::connect;
  return renewal_sent_ ? Task::cut : Task::renew;
}

Session::Moment Session::next() const {
  if (state_ != State::connected) return next_try_;
  return renewal_sent_ ? dead_at() : leased_from_ + lease_ / 3;
}

void Session::welcomed(Moment sent, Moment now, Millis lease) {
  state_ = State::connected;
  connected_at_ = last_heard_ = now;
  renewal_sent_.reset();
  answered(sent, lease);
}

void Session::answered(Moment sent, std::optional<Millis> lease) {
  if (lease) lease_ = *lease;
  leased_from_ = std::max(leased_from_, sent);
  if (renewal_sent_ && sent >= *renewal_sent_) renewal_sent_.reset();
}

void Session::broken(Moment now) {
  // A server that takes a connection and drops it is one that fails.
  if (state_ == State::connected && now - connected_at_ >= max_pause) failures_ = 0;
  const Millis pause = std::min(min_pause * (1 << failures_), max_pause);
  if (pause < max_pause) ++failures_;
  rest(now, pause);
}

void Session::refused(Moment now) { rest(now, refused_pause); }

void Session::rest(Moment now, Millis longest) {
  state_ = State::resting;
  renewal_sent_.reset();
  const std::int64_t pause = longest.count();
  next_try_ = now + Millis(std::uniform_int_distribution(pause / 2, pause)(random_));
}

}  // namespace limitr::cloud
