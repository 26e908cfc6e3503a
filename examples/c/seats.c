/* SPDX-License-Identifier: Apache-2.0 */
/* Seats of a team, kept in a SQLite file: seats [FILE] */
#include <stdio.h>
#include <stdlib.h>

#include <limitr/c_api.h>

static const char policy[] =
    "policy:\n"
    "  credits: { seat: {} }\n"
    "  plans:\n"
    "    team:\n"
    "      default: true\n"
    "      entitlements:\n"
    "        seats: { limit: { credit: seat, value: 10 } }\n";

/* Says what went wrong and gives the error back; 1 when there was one. */
static int failed(limitr_error* error) {
  if (error == NULL) return 0;
  limitr_view message = limitr_error_message(error);
  limitr_view where = limitr_error_where(error);
  fprintf(stderr, "%.*s: %.*s\n", (int)where.size, where.data, (int)message.size, message.data);
  limitr_error_free(error);
  return 1;
}

static void print_event(void* data, const limitr_event* event) {
  (void)data;
  printf("event %.*s of %.*s\n", (int)event->type.size, event->type.data, (int)event->customer.size,
         event->customer.data);
}

static int use(limitr_engine* engine) {
  limitr_view ann = limitr_text("ann");
  limitr_view seats = limitr_text("seats");
  limitr_error* error = NULL;
  limitr_decision decision;
  double left = 0;
  int i;

  limitr_ensure_customer(engine, ann, limitr_text("team"), &error);
  if (failed(error)) return 1;
  limitr_add_handler(engine, limitr_text("print"), print_event, NULL, NULL);

  /* 4 seats, then 3 more than there are. */
  limitr_set(engine, ann, seats, limitr_number(0), NULL, NULL, &error);
  if (failed(error)) return 1;
  for (i = 0; i < 2; ++i) {
    double wanted = i == 0 ? 4 : 9;
    int allowed = limitr_allow(engine, ann, seats, limitr_number(wanted), NULL, &decision, &error);
    if (failed(error)) return 1;
    printf("%g seats: %s, %g taken\n", wanted, allowed ? "allowed" : "denied", decision.value);
  }

  if (limitr_remaining_of(engine, ann, seats, &left, &error) == 1)
    printf("ann has %g of %g seats left\n", left, decision.limit);
  if (failed(error)) return 1;

  /* Whatever has no function of its own is called by its name. */
  limitr_string* meter =
      limitr_call(engine, limitr_text("meter"),
                  limitr_text("{\"id\":\"ann\",\"entitlement\":\"seats\"}"), &error);
  if (failed(error)) return 1;
  printf("meter: %s\n", limitr_string_view(meter).data);
  limitr_string_free(meter);
  return 0;
}

int main(int argc, char** argv) {
  limitr_error* error = NULL;
  uint64_t written = 0;
  char options[1024];
  int code;

  if (snprintf(options, sizeof options, "{\"store\":\"sqlite:%s\"}",
               argc > 1 ? argv[1] : "seats.db") >= (int)sizeof options) {
    fprintf(stderr, "seats: the name of the file is too long\n");
    return 2;
  }
  limitr_engine* engine = limitr_open(limitr_text(policy), limitr_text(options), NULL, &error);
  if (failed(error)) return 1;
  code = use(engine);
  if (limitr_close(engine, &written, &error) == 0)
    printf("%llu records written\n", (unsigned long long)written);
  if (failed(error)) code = 1;
  limitr_engine_free(engine);
  return code;
}
