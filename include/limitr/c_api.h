/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIMITR_C_API_H
#define LIMITR_C_API_H

/* NOLINTBEGIN(modernize-*, readability-*): this is C. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* limitr for C, and for every language that can call C. docs/c.md is the guide.
 *
 * - Texts that go in are a pointer and a length, UTF-8, and are only read during the call.
 * - What a function gives as a pointer is yours until you give it back with the `_free` of its
 * type, which takes NULL too. Everything else is a view that stays valid as long as its comment
 * says.
 * - A call that fails changes nothing. It returns -1 or NULL and, where `error` is not NULL, puts a
 * limitr_error there, which is yours; a call that succeeds puts NULL there. A denial is an answer,
 * not a failure.
 * - Every function may be called from any thread, except that nobody may use what is being freed.
 * No exception and no signal leaves a function.
 * - Records, options and events are JSON texts, with the names of the documentation; calls take
 * plain arguments.
 */

#if defined(__GNUC__)
#define LIMITR_API __attribute__((visibility("default")))
#else
#define LIMITR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct limitr_engine limitr_engine;
typedef struct limitr_handle limitr_handle;
typedef struct limitr_error limitr_error;
typedef struct limitr_string limitr_string;

/* A text that belongs to someone else. `data` may be NULL where `size` is 0. */
typedef struct limitr_view {
  const char* data;
  size_t size;
} limitr_view;

/* An amount: a number, or where `text.size` is not 0 a text with a unit ("2 MB"). */
typedef struct limitr_value {
  double number;
  limitr_view text;
} limitr_value;

/* Why a call failed. Numbers never change their meaning; names are limitr_error_name(). */
enum limitr_error_code {
  LIMITR_INVALID_ARGUMENT = 1, /* The call is wrong as it stands. */
  LIMITR_INVALID_VALUE = 2,
  LIMITR_POLICY_INVALID = 3, /* limitr_error_where() says which field. */
  LIMITR_DOCUMENT_TOO_LARGE = 4,
  LIMITR_RECORD_INVALID = 5,
  LIMITR_REQUEST_MISMATCH = 6,
  LIMITR_NO_PLAN = 7,
  LIMITR_ALIAS_TAKEN = 8,
  LIMITR_IO_FAILED = 9,
  LIMITR_STORE_UNAVAILABLE = 10, /* Nothing changed: try again. */
  LIMITR_OUTCOME_UNKNOWN = 11,   /* It changed or not: the same request ID tells. */
  LIMITR_STORE_OWNED = 12,
  LIMITR_STORE_FENCED = 13,
  LIMITR_STORE_WEAKER = 14,
  LIMITR_DATA_CORRUPT = 15,
  LIMITR_UNCONNECTED = 16,    /* No connection to the Cloud server: nothing changed. */
  LIMITR_UNAUTHORIZED = 17,   /* The token is wrong, expired or revoked, or its scope too small. */
  LIMITR_OUT_OF_MEMORY = 1000 /* Only here: the process has no more memory. */
};

/* Why a call was denied. */
enum limitr_reason {
  LIMITR_REASON_NONE = 0,
  LIMITR_REASON_UNKNOWN_CUSTOMER = 1,
  LIMITR_REASON_UNKNOWN_ENTITLEMENT = 2,
  LIMITR_REASON_NO_SCOPE_CUSTOMER = 3,
  LIMITR_REASON_CAP = 4,
  LIMITR_REASON_GOVERNOR = 5,
  LIMITR_REASON_LIMIT = 6,
  LIMITR_REASON_VOUCHER = 7,
  LIMITR_REASON_UNCONNECTED = 8
};

/* The moment that is none. */
#define LIMITR_NO_TIME INT64_MIN

/* The answer to one call. Numbers are in the limit's credit, prices and overhead in runes; what
 * does not apply is NaN, and LIMITR_NO_TIME for a moment. See docs/calls.md. */
typedef struct limitr_decision {
  int allowed;  /* 1 or 0 */
  int repeated; /* 1: an earlier answer to the same request ID */
  int reason;   /* enum limitr_reason */
  double value; /* the meter after the call; before it, when denied */
  double limit;
  double remaining; /* limit - value, without grants */
  int64_t resets;   /* when the meter's next period begins; ms since 1970 */
  double overage;
  double grant_value_applied;
  double overhead;
  double price_diff;
  double overage_price;
  /* The cap that denied it, and who holds it; `data` is NULL where there is none. Valid until this
   * thread makes its next call of limitr, or its callback returns. */
  limitr_view cap;
  limitr_view cap_customer;
} limitr_decision;

/* What a call may say besides who, what and how much. All zero: nothing. See docs/calls.md. */
typedef struct limitr_call_options {
  int silent;             /* 1: it sends no events */
  int force;              /* 1: it already happened: record it whatever it breaks */
  const double* overhead; /* what it really cost, in runes; NULL: as the policy says */
  limitr_view request;    /* it counts once under this ID; empty: none */
  limitr_view event_data; /* a JSON object for events and cost functions; empty: none */
  limitr_view caps;       /* JSON: a cap, a map of credit to ceiling, or a list; empty: none */
} limitr_call_options;

/* Something that happened. docs/events.md has every type and its payload. Valid during the
 * callback. */
typedef struct limitr_event {
  limitr_view type;
  limitr_view customer; /* the customer's ID; empty for events of plans */
  limitr_view payload;  /* a JSON object */
  int64_t at;           /* ms since 1970 */
} limitr_event;

/* Gets events, in the order of each customer's changes, on the thread whose call caused them, or on
 * one of the engine's own; outside every lock, so it may call the engine. */
typedef void (*limitr_on_event)(void* data, const limitr_event* event);
/* Gets one answer, or the error (valid during the callback) where it is not NULL. Is called once,
 * on this thread or on one of the engine's own. */
typedef void (*limitr_on_decision)(void* data, const limitr_decision* decision,
                                   const limitr_error* error);
typedef void (*limitr_on_answer)(void* data, limitr_view answer, const limitr_error* error);
typedef void (*limitr_release)(void* data);

/* Host functions: what a policy cannot say in data. Each returns 1 when it has put its answer
 * there, 0 when it failed: that is logged, and the policy's own figure counts. See docs/events.md,
 * Host functions. */
typedef int (*limitr_overhead_function)(void* data, double units, limitr_view event_data,
                                        double* runes); /* `event_data`: JSON, null if none */
typedef int (*limitr_rate_function)(void* data, double* rate);
typedef int (*limitr_notification_function)(void* data, const limitr_event* event, int* matches);

/* A name of the policy, and what answers for it: any of the three may be NULL. */
typedef struct limitr_host_function {
  limitr_view name;
  void* data;
  limitr_overhead_function overhead;
  limitr_rate_function rate;
  limitr_notification_function notification;
} limitr_host_function;

/* What the program that uses an engine does for it. All of it may be zero. */
typedef struct limitr_host {
  void* data;                                   /* for log, now and release */
  void (*log)(void* data, limitr_view message); /* NULL: standard error */
  int64_t (*now)(void* data);                   /* ms since 1970; NULL: the system's clock */
  limitr_release release; /* once, when the engine is gone or could not be opened; or NULL */
  const limitr_host_function* functions;
  size_t function_count;
} limitr_host;

/* "0.1.0". Valid for ever. */
LIMITR_API limitr_view limitr_version(void);

/* Engines */

/* An engine for a policy text. `options`: a JSON object of what limitr/options.h lists that is data
 * (format, store, durability, ...; times in ms), or empty. `host` may be NULL. Errors: as
 * Limitr::open(). */
LIMITR_API limitr_engine* limitr_open(limitr_view policy, limitr_view options,
                                      const limitr_host* host, limitr_error** error);
/* An engine for the policy that its store keeps. */
LIMITR_API limitr_engine* limitr_open_stored(limitr_view options, const limitr_host* host,
                                             limitr_error** error);
/* An engine whose policy and customers are those of a Cloud server. `options`: a JSON object of
 * what limitr/options.h lists of CloudOptions that is data (token, address, ...), with those of
 * `engine` that count beside them. Errors: as Limitr::cloud(); LIMITR_UNCONNECTED and
 * LIMITR_UNAUTHORIZED say which it was. */
LIMITR_API limitr_engine* limitr_open_cloud(limitr_view options, const limitr_host* host,
                                            limitr_error** error);
/* Writes what waits, lets go of the store, gives every answer that is open, and ends the engine.
 * Whoever wants to know whether all was written calls limitr_close() first. Not from a callback. */
LIMITR_API void limitr_engine_free(limitr_engine* engine);
/* The problems of a policy text: a JSON list of {severity, path, message, line, column}; empty: it
 * is fine. `options`: {format, bounds}, or empty. */
LIMITR_API limitr_string* limitr_validate(limitr_view policy, limitr_view options,
                                          limitr_error** error);
/* Where two policies differ: a JSON list of {path, before, after}. Each has its own {format,
 * bounds}, or empty. */
LIMITR_API limitr_string* limitr_difference(limitr_view before, limitr_view before_options,
                                            limitr_view after, limitr_view after_options,
                                            limitr_error** error);

/* Calls: 1 allowed, 0 denied, -1 failed. `options` and `decision` may be NULL. See docs/calls.md.
 */

LIMITR_API int limitr_allow(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                            limitr_value value, const limitr_call_options* options,
                            limitr_decision* decision, limitr_error** error);
LIMITR_API int limitr_check(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                            limitr_value value, const limitr_call_options* options,
                            limitr_decision* decision, limitr_error** error);
LIMITR_API int limitr_set(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                          limitr_value value, const limitr_call_options* options,
                          limitr_decision* decision, limitr_error** error);
LIMITR_API int limitr_increment(limitr_engine* engine, limitr_view customer,
                                limitr_view entitlement, const limitr_call_options* options,
                                limitr_decision* decision, limitr_error** error);
LIMITR_API int limitr_decrement(limitr_engine* engine, limitr_view customer,
                                limitr_view entitlement, const limitr_call_options* options,
                                limitr_decision* decision, limitr_error** error);
LIMITR_API int limitr_check_increment(limitr_engine* engine, limitr_view customer,
                                      limitr_view entitlement, const limitr_call_options* options,
                                      limitr_decision* decision, limitr_error** error);
LIMITR_API int limitr_check_decrement(limitr_engine* engine, limitr_view customer,
                                      limitr_view entitlement, const limitr_call_options* options,
                                      limitr_decision* decision, limitr_error** error);
/* limitr_allow() without waiting for the store: calls are decided in the order in which they are
 * made, and `then` is told once the answer is safe. Without a store it is called before this
 * returns. */
LIMITR_API void limitr_allow_async(limitr_engine* engine, limitr_view customer,
                                   limitr_view entitlement, limitr_value value,
                                   const limitr_call_options* options, limitr_on_decision then,
                                   void* data);

/* A customer and an entitlement looked up once: calls by it skip the look-ups. NULL without an
 * error: one of them is unknown today. Stays valid until it is freed; must be freed before its
 * engine. */
LIMITR_API limitr_handle* limitr_handle_find(limitr_engine* engine, limitr_view customer,
                                             limitr_view entitlement, limitr_error** error);
LIMITR_API int limitr_handle_allow(limitr_engine* engine, const limitr_handle* handle,
                                   limitr_value value, const limitr_call_options* options,
                                   limitr_decision* decision, limitr_error** error);
LIMITR_API int limitr_handle_check(limitr_engine* engine, const limitr_handle* handle,
                                   limitr_value value, const limitr_call_options* options,
                                   limitr_decision* decision, limitr_error** error);
LIMITR_API void limitr_handle_free(limitr_handle* handle);

/* Reservations. See docs/reservations.md. */

/* A hold's ID; NULL without an error: not now. `value` NULL: as much as the entitlement's estimate
 * says. Its other options are those of limitr_call(). */
LIMITR_API limitr_string* limitr_reserve(limitr_engine* engine, limitr_view customer,
                                         limitr_view entitlement, const limitr_value* value,
                                         limitr_error** error);
LIMITR_API int limitr_settle(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                             limitr_view hold, limitr_value value, limitr_decision* decision,
                             limitr_error** error);
/* 1 dropped, 0 there was none, -1 failed. */
LIMITR_API int limitr_release_hold(limitr_engine* engine, limitr_view customer,
                                   limitr_view entitlement, limitr_view hold, limitr_error** error);

/* Customers and state. See docs/customers.md, docs/state.md. */

/* 1 created, 0 known already, -1 failed. `plan` may be empty. */
LIMITR_API int limitr_ensure_customer(limitr_engine* engine, limitr_view id, limitr_view plan,
                                      limitr_error** error);
/* 1 deleted, 0 there was none, -1 failed. */
LIMITR_API int limitr_delete_customer(limitr_engine* engine, limitr_view id, limitr_error** error);
/* Every customer's record: a JSON object by ID. */
LIMITR_API limitr_string* limitr_customers(limitr_engine* engine, limitr_error** error);
/* Everything there is, for limitr_load_customers(). */
LIMITR_API limitr_string* limitr_export_state(limitr_engine* engine, limitr_error** error);
/* What was loaded: JSON of {loaded, refused, unmapped}. */
LIMITR_API limitr_string* limitr_load_customers(limitr_engine* engine, limitr_view records,
                                                limitr_error** error);
/* 1: it is in `number`; 0: customer or figure is unknown; -1 failed. */
LIMITR_API int limitr_value_of(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                               double* number, limitr_error** error);
LIMITR_API int limitr_limit_of(limitr_engine* engine, limitr_view customer, limitr_view entitlement,
                               double* number, limitr_error** error);
LIMITR_API int limitr_remaining_of(limitr_engine* engine, limitr_view customer,
                                   limitr_view entitlement, double* number, limitr_error** error);

/* The store. 0 done, -1 failed. See docs/state.md, Stores. */

LIMITR_API int limitr_warm(limitr_engine* engine, const limitr_view* ids, size_t count,
                           limitr_error** error);
LIMITR_API int limitr_flush(limitr_engine* engine, limitr_error** error);
/* `written`, if not NULL, gets the number of records that were written since the engine was opened.
 */
LIMITR_API int limitr_close(limitr_engine* engine, uint64_t* written, limitr_error** error);

/* Events. A handler of the same name is replaced. `release`, if not NULL, is called once when the
 * handler is needed no more. */

LIMITR_API void limitr_add_handler(limitr_engine* engine, limitr_view name, limitr_on_event handler,
                                   void* data, limitr_release release);
LIMITR_API int limitr_remove_handler(limitr_engine* engine, limitr_view name); /* 1 or 0 */
LIMITR_API void limitr_clear_handlers(limitr_engine* engine);

/* Every call there is, by its name */

/* The names and what each takes: a JSON list of {name, parameters: [{name, kind, required}]}. */
LIMITR_API limitr_string* limitr_calls(void);
/* Makes the call of that name. `arguments`: a JSON object, or empty. The answer is JSON: a
 * decision, a record, a number, true or false; null where there is nothing. */
LIMITR_API limitr_string* limitr_call(limitr_engine* engine, limitr_view name,
                                      limitr_view arguments, limitr_error** error);
/* The same without waiting for the store, in one order with limitr_allow_async(). */
LIMITR_API void limitr_call_async(limitr_engine* engine, limitr_view name, limitr_view arguments,
                                  limitr_on_answer then, void* data);

/* Texts and errors */

/* Valid until it is freed; a 0 follows its last byte. */
LIMITR_API limitr_view limitr_string_view(const limitr_string* string);
LIMITR_API void limitr_string_free(limitr_string* string);

LIMITR_API int limitr_error_code(const limitr_error* error); /* enum limitr_error_code */
/* "policy_invalid": the code's name. Valid for ever. */
LIMITR_API limitr_view limitr_error_name(const limitr_error* error);
/* Valid until the error is freed. */
LIMITR_API limitr_view limitr_error_message(const limitr_error* error);
/* A path, a place (line:column), both, or empty. */
LIMITR_API limitr_view limitr_error_where(const limitr_error* error);
LIMITR_API void limitr_error_free(limitr_error* error);

/* The view of a text that ends with 0; NULL is empty. */
static inline limitr_view limitr_text(const char* text) {
  limitr_view view = {text, text == NULL ? 0 : strlen(text)};
  return view;
}
static inline limitr_value limitr_number(double number) {
  limitr_value value = {number, {NULL, 0}};
  return value;
}
/* "2 MB" */
static inline limitr_value limitr_quantity(const char* text) {
  limitr_value value = {0, {text, text == NULL ? 0 : strlen(text)}};
  return value;
}

#ifdef __cplusplus
}
#endif
/* NOLINTEND(modernize-*, readability-*) */

#endif
