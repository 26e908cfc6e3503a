// SPDX-License-Identifier: Apache-2.0
// The smallest useful program: a policy, a customer, and calls until the limit says no.
#include <cstdio>
#include <string_view>

#include <limitr/limitr.h>

namespace {

constexpr std::string_view policy = R"(
policy:
  credits:
    message: { label: Message }
  plans:
    free:
      default: true
      entitlements:
        chat:
          limit: { credit: message, value: 3, resets: true, reset_inc: 1day }
)";

int fail(const limitr::Error& error) {
  std::fprintf(stderr, "%s\n", error.to_string().c_str());
  return 1;
}

}  // namespace

int main() {
  limitr::Result<limitr::Limitr> opened = limitr::Limitr::open(policy);
  if (!opened.ok()) return fail(opened.error());
  limitr::Limitr& limits = *opened;

  if (const auto created = limits.ensure_customer("ann"); !created.ok())
    return fail(created.error());

  for (int message = 1; message <= 4; ++message) {
    const limitr::Result<limitr::Decision> answer = limits.allow("ann", "chat", 1);
    if (!answer.ok()) return fail(answer.error());
    if (*answer)
      std::printf("message %d: allowed, %g left\n", message, answer->remaining.value_or(0));
    else
      std::printf("message %d: denied by the %s\n", message,
                  limitr::to_string(*answer->reason).data());
  }
}
