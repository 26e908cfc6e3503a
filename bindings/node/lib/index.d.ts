// SPDX-License-Identifier: Apache-2.0

/** A text of a policy, or the policy as an object. */
export type Policy = string | object;
export type PolicyFormat = 'yaml' | 'json' | 'toml';
/** A number, or a text with a unit that the credit knows: `'2 MB'`. */
export type Quantity = number | string;
/** A moment: a Date, milliseconds since 1970, an ISO date, or `'+1h'` from now. */
export type Moment = Date | number | string;
/** Anything that JSON can hold. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** A record with the fields of the documentation: customers, plans, limits, meters, caps. */
export type JsonObject = { [key: string]: any };

/** Why a call was denied. */
export type Reason =
  | 'unknown_customer'
  | 'unknown_entitlement'
  | 'no_scope_customer'
  | 'cap'
  | 'governor'
  | 'limit'
  | 'voucher'
  | 'unconnected';

/**
 * The answer to one call. Numbers are in the limit's credit, prices and overhead in runes; what does
 * not apply is null.
 */
export interface Decision {
  allowed: boolean;
  /** An earlier answer to the same request ID. */
  repeated: boolean;
  /** Null when it is allowed. */
  reason: Reason | null;
  /** The cap that denied it, and who holds it. */
  cap: { id: string | null; customer: string } | null;
  /** The meter after the call; before it, when denied. */
  value: number | null;
  limit: number | null;
  /** `limit - value`, without grants. */
  remaining: number | null;
  /** When the meter's next period begins, in milliseconds since 1970. */
  resets: number | null;
  /** What is left to be billed after grants, or over the limit. */
  overage: number | null;
  grant_value_applied: number | null;
  /** What the call cost you. */
  overhead: number | null;
  /** The list price of the billable units that it adds. */
  price_diff: number | null;
  /** The price of the overage that grants did not cover. */
  overage_price: number | null;
}

/** A cap that counts for one call only. */
export interface CallCap {
  /** The ceiling, in `credit`. */
  value: number;
  /** Default: `'rune'`. */
  credit?: string;
  overage_only?: boolean;
  ignore_grants?: boolean;
  observe_only?: boolean;
  overhead_cost?: boolean;
  hard_trailing?: boolean;
}

/** A cap, a map of credit to ceiling, or a list of either. */
export type CallCaps = CallCap | Record<string, number> | Array<CallCap | Record<string, number>>;

/** What every change may say besides what it changes. */
export interface ChangeOptions {
  /** The call counts once under this ID: a second time gives the first answer again. */
  request?: string;
}

/** What a call may say besides who, what and how much. */
export interface CallOptions extends ChangeOptions {
  /** False: the call sends no events. An object, or JSON text: data for events and cost functions. */
  event?: boolean | string | JsonObject;
  /** Event data, where it is not given as `event`. */
  context?: string | JsonObject;
  /** Caps for this call only. */
  cap?: CallCaps;
  /** What the call really cost you, in runes. */
  overhead?: number;
  /** The usage already happened: record it whatever it breaks. */
  force?: boolean;
  /** True: the answer is the whole decision. */
  detail?: boolean;
}

/** What `event` may be where it stands by place: an object whose keys are all options is taken for options. */
export type EventOrOptions = boolean | string | JsonObject | CallOptions;

export interface NewCustomerOptions extends ChangeOptions {
  /** Default: inherited through refs, else the policy's default plan. */
  plan?: string;
  /** Default: `'user'`. */
  type?: string;
  /** Default: `'User'`. */
  label?: string;
  refs?: string[];
  alts?: string[];
  metadata?: JsonObject;
}

export interface OverrideOptions extends ChangeOptions {
  value?: Quantity;
  expiresOn?: Moment;
  credit?: string;
  mode?: 'hard' | 'soft' | 'observe';
  increment?: Quantity;
  resets?: boolean;
  /** A duration: `'30 days'`. */
  resetInc?: Quantity;
  resetSch?: string;
}

export interface CapOptions extends ChangeOptions {
  /** Its ID; default: one is made. */
  cap_id?: string;
  /** Default: `'rune'`. */
  credit?: string;
  exchangeable?: boolean;
  overage_only?: boolean;
  ignore_grants?: boolean;
  observe_only?: boolean;
  overhead_cost?: boolean;
  follow_decrements?: boolean;
  hard_trailing?: boolean;
  shared?: boolean;
  /** Customer types; default: all. */
  shared_with?: string[];
  /** Entitlements; default: all. */
  scope?: string[];
  resets?: boolean;
  /** A duration: `'30 days'`. */
  reset_inc?: Quantity;
  reset_sch?: string;
  expires_on?: Moment;
  /** Default: true. */
  send_events?: boolean;
}

export interface ReserveOptions extends ChangeOptions {
  /** Default: what the estimate says, else the limit's increment. */
  value?: Quantity;
  context?: string | JsonObject;
  basis?: number;
  segment?: string;
  /** A duration; default: the policy's `hold_ttl`. */
  ttl?: Quantity;
  /** Default: 0.9. */
  quantile?: number;
  overhead?: number;
}

export interface SettleOptions extends ChangeOptions {
  event?: boolean | string | JsonObject;
  overhead?: number;
  basis?: number;
  segment?: string;
}

export interface ObserveOptions extends ChangeOptions {
  overhead?: number;
  basis?: number;
  segment?: string;
  context?: string | JsonObject;
}

/** One call of allowMany(). */
export interface ManyCall extends Omit<CallOptions, 'detail'> {
  id: string;
  entitlement: string;
  value?: Quantity;
}

/** What one call of this size is expected to use. */
export interface Estimate {
  value: number;
  overhead: number;
  samples: number;
  source: 'local' | 'cloud';
  scope: 'customer' | 'policy';
}

/** What was earned and what it cost this period, in runes; margins in percent. */
export interface Margin {
  cost: number;
  revenue: number;
  /** -100 without revenue. */
  margin: number;
  entitlements: Record<string, { cost: number; revenue: number; margin: number | null }>;
}

/** What a stretch of work was charged and cost, in runes. */
export interface MeasuredMargin {
  charged: number;
  costs: number;
  /** Percent; -100 without charges. */
  margin: number;
  /** `charged - costs`. */
  rawMargin: number;
}

/** Usage that is only imagined: an amount, or more about it. */
export type ImaginedUsage = Record<
  string,
  | Quantity
  | { meter: Quantity; limit?: Quantity; credit?: string; overhead?: number; context?: JsonObject }
>;

/** What loadCustomers() did. */
export interface LoadReport {
  loaded: number;
  refused: Array<{ id: string; error: string }>;
  /** Meters without an entitlement in today's policy. */
  unmapped: Array<{ customer: string; entitlement: string }>;
}

/** Something in the state that contradicts itself. */
export interface AuditFinding {
  customer: string;
  field: string;
  message: string;
  expected: number | null;
  found: number | null;
}

/** Something that is wrong, or strange, in a policy. */
export interface Issue {
  severity: 'error' | 'warning';
  path: string;
  message: string;
  line: number;
  column: number;
}

/** Where two policies differ; a side without a value has no member. */
export interface Difference {
  kind: 'added' | 'removed' | 'changed';
  path: string;
  before?: Json;
  after?: Json;
}

/** Gets the type of an event and its payload. What it returns is not waited for. */
export type Handler = (key: string, value: any) => unknown;

/** What a policy cannot say in data, by the names that it uses. They run on this thread. */
export interface HostFunctions {
  /** What a call costs you, in runes: a credit's `overhead_fn`. */
  overhead?: Record<string, (units: number, eventData: any) => number>;
  /** What one is worth in `currency` now: an exchange pair's `value_fn`. */
  rates?: Record<string, () => number>;
  /** Whether an event matches: a notification's `fn`. */
  notifications?: Record<string, (key: string, value: any) => boolean>;
}

/** Bounds of documents, for policies of people you do not trust. */
export interface DocumentBounds {
  max_bytes?: number;
  max_nodes?: number;
  max_depth?: number;
  max_alias_factor?: number;
}

export interface OpenOptions {
  /** The policy's, where it is a text. Default: `'yaml'`. */
  format?: PolicyFormat;
  /** False: a policy that breaks rules but can be compiled is taken. */
  validate?: boolean;
  bounds?: DocumentBounds;
  /** Where the state is kept: `'sqlite:limitr.db'`, `'redis://…'`, `'postgres://…'`. Default: nowhere. */
  store?: string;
  /** Any number of engines use the store at the same time, on Redis or PostgreSQL. */
  shared?: boolean;
  /** When a change is safe. Default: `'sync'`: before its promise resolves. */
  durability?: 'sync' | 'interval' | 'manual';
  /** For `'interval'`, in milliseconds. Default: 100. */
  writeInterval?: number;
  /** For `'interval'`: how many changed customers may wait. Default: 100,000. */
  maxUnwritten?: number;
  /** How long a call may wait for the store, in milliseconds. Default: 5,000. */
  storeTimeout?: number;
  /** Take a store that keeps less than `durability` asks; logged. */
  acceptWeaker?: boolean;
  /** How many customers are kept in memory, about. Default: all that were used. */
  maxLoaded?: number;
  /** Read every customer now. */
  loadAll?: boolean;
  host?: HostFunctions;
  /** For tests. Default: the system's. */
  clock?: ManualClock;
  /** What the engine, and handlers that fail, have to say. Default: standard error. */
  log?: (message: string) => void;
}

export interface CloudOptions {
  /** A token of the server with the scope `engine`. */
  token: string | undefined;
  /** `https://` for TLS. Default: `'http://localhost:4242'`. */
  address?: string;
  /** A version of the policy. Default: the active one, always. */
  policy?: string;
  /** How long the first connection may take, in milliseconds. Default: 5,000. */
  connectTimeout?: number;
  /**
   * What calls get that neither the server nor room covers while there is no connection: a denial
   * with the reason `unconnected`. False: they are decided on what is known, and added to the
   * server's state when it is back, which can pass limits. Default: true.
   */
  denyUnconnected?: boolean;
  /** False: a policy that breaks rules but can be compiled is taken. */
  validate?: boolean;
  /**
   * How much of a hard limit or cap may be set aside for calls that are answered without asking,
   * from 0 to 1; 0: each call is confirmed. Default: 0.01.
   */
  room?: number;
  /** A file of certificates that `https://` trusts. Default: the system's. */
  caFile?: string;
  /**
   * A file of this engine alone, made where there is none: what was answered and not reported
   * outlives there a process that is killed, and is reported by the next engine with that file.
   * Default: none.
   */
  localFile?: string;
  bounds?: DocumentBounds;
  /** For `denyUnconnected: false`: how many changed customers may wait. Default: 100,000. */
  maxUnwritten?: number;
  /** How long a call may wait for the server, in milliseconds. Default: 5,000. */
  storeTimeout?: number;
  /** How many customers are kept in memory, about. Default: all that were used. */
  maxLoaded?: number;
  host?: HostFunctions;
  /** For tests. Default: the system's. */
  clock?: ManualClock;
  /** What the engine, and handlers that fail, have to say. Default: standard error. */
  log?: (message: string) => void;
  /** Gets why there is no engine: its `code` is `unconnected` or `unauthorized`. */
  onError?: (error: LimitrError) => unknown;
}

/** A clock that stands still until it is set: time for tests. */
export class ManualClock {
  /** @param ms where it begins, in milliseconds since 1970 */
  constructor(ms?: number);
  get(): number;
  set(ms: number): void;
}

/** Why the engine could not do what it was asked. Nothing has changed. A denial is no error. */
export class LimitrError extends Error {
  constructor(code: string, message: string, where?: string);
  /** `'policy_invalid'`, `'invalid_value'`, `'store_unavailable'`, and so on. */
  readonly code: string;
  /** A path, a place (line:column), both, or empty. */
  readonly where: string;
}

/** The engine's version. */
export const version: string;

/** What middleware() is given. A function gets the request, and may be async. */
export interface MiddlewareOptions {
  /** What a request uses. */
  entitlement: string | ((req: any) => string | Promise<string>);
  /** Whose request it is: the customer's ID. Without one the request fails. */
  customer: (req: any) => string | Promise<string>;
  /** How much it uses. Default: 1. */
  value?: Quantity | ((req: any) => Quantity | Promise<Quantity>);
  /** The plan of customers that are created. Default: the policy's. */
  plan?: string | ((req: any) => string | undefined | Promise<string | undefined>);
  /** Whether a customer that is not known is created. Default: true. */
  ensure?: boolean;
  /** Answers a request that is denied, instead of 429 or 403 with JSON; the headers are set. */
  denied?: (req: any, res: any, decision: Decision) => unknown;
}

/** For Express and Connect a middleware, for Fastify a hook. */
export type Middleware = (req: any, res: any, next: (error?: any) => void) => void;

/**
 * The headers that tell a client about a decision, as middleware() sets them.
 * @param now milliseconds since 1970
 */
export function rateLimitHeaders(decision: Decision, now?: number): Record<string, string>;

/**
 * Decides what each customer may use right now, and meters it in the same step.
 *
 * Calls are applied in the order in which they are made. With a store a promise resolves when the
 * change is safe; without one every call is made at once. What cannot be done rejects with a
 * LimitrError, an argument of the wrong kind with a TypeError; nothing has changed then.
 *
 * Options can be given as an object after the last argument that is given by place.
 */
export class Limitr {
  private constructor();

  // Start

  /**
   * An engine without a store.
   * @param policy a text or an object
   * @param format of a text; default: `'yaml'`
   * @param validate false: a policy that breaks rules but can be compiled is taken
   * @throws LimitrError `policy_invalid`, with the path and line of the first problem
   */
  static new(policy: Policy, format?: PolicyFormat, validate?: boolean): Promise<Limitr>;
  /** An engine with options: a store, a clock, functions of yours. */
  static open(policy: Policy, options?: OpenOptions): Promise<Limitr>;
  /** An engine for the policy that its store keeps: the last one that an engine had there. */
  static openStored(options: OpenOptions): Promise<Limitr>;
  /**
   * An engine whose policy and customers are those of a Cloud server, which any number of engines
   * share with exact limits. Undefined when it cannot connect, or the token is not good; why is
   * logged, and given to `onError`.
   */
  static cloud(options: CloudOptions): Promise<Limitr | undefined>;
  /** All problems of a policy; none: it is fine. */
  static validate(policy: Policy, format?: PolicyFormat): Promise<Issue[]>;

  /** Whether the running policy follows the rules, and what is wrong with it. */
  valid(): Promise<[ok: boolean, message: string]>;
  /** The engine's version. */
  version(): Promise<string>;
  /** Writes all that waits to be written to the store. */
  flush(): Promise<void>;
  /** Writes what waits, lets go of the store, and lets the process end. How many records were written. */
  close(): Promise<number>;

  // Customers

  /**
   * Creates the customer where nobody has the ID; true only then. Safe on every request.
   * @param plan default: inherited through refs, else the policy's default plan
   */
  ensureCustomer(id: string, plan?: string | NewCustomerOptions, type?: string, label?: string,
    refs?: string[], alts?: string[], metadata?: JsonObject, options?: ChangeOptions): Promise<boolean>;
  /** Creates a customer, or updates plan, type, label, refs and metadata of a known one. */
  createCustomer(id: string, plan?: string | NewCustomerOptions, type?: string, label?: string,
    refs?: string[], alts?: string[], metadata?: JsonObject, options?: ChangeOptions): Promise<true>;
  /** The customer's record; undefined if there is none. */
  customer(id: string): Promise<JsonObject | undefined>;
  /** Every customer's record by ID: a consistent cut. */
  customers(): Promise<Record<string, JsonObject>>;
  /** Loads what customers() or exportState() gave, or a list of records. Sends no events. */
  loadCustomers(records: JsonObject | JsonObject[] | string): Promise<LoadReport>;
  /** Puts a record in place, replacing any. */
  setCustomer(record: JsonObject | string, event?: boolean): Promise<true>;
  /** ensureCustomer() from a full record; true when it was created. */
  ensureSetCustomer(record: JsonObject | string): Promise<boolean>;
  /** Forgets a customer; false when there was none. */
  removeCustomer(id: string): Promise<boolean>;
  /**
   * False when the plan is unknown or in effect already.
   * @param overwriteMeters whether all that the new plan limits starts over; default: true
   */
  setCustomerPlan(id: string, plan: string, overwriteMeters?: boolean | ChangeOptions,
    options?: ChangeOptions): Promise<boolean>;
  /** What you keep with the customer; undefined if there is none. */
  customerMetadata(id: string): Promise<JsonObject | undefined>;
  /** Whom the customer refers to. */
  customerRefs(id: string): Promise<string[] | undefined>;
  /** Replaces whom the customer refers to. */
  setCustomerRefs(id: string, refs: string[], options?: ChangeOptions): Promise<boolean>;
  /** Another ID for the customer, in every call; false when it is somebody else's. */
  addAltID(id: string, alt: string, options?: ChangeOptions): Promise<boolean>;
  /** False when there was none. */
  removeAltID(alt: string): Promise<boolean>;
  /** A limit of the customer's own: what is not given is as the present limit has it. */
  createCustomerOverride(id: string, entitlement: string, value?: Quantity | OverrideOptions,
    expiresOn?: Moment, credit?: string, mode?: 'hard' | 'soft' | 'observe', increment?: Quantity,
    resets?: boolean, resetInc?: Quantity, resetSch?: string, options?: ChangeOptions): Promise<boolean>;
  /** The plan's limit counts again; false when there was no override. */
  removeCustomerOverride(id: string, entitlement: string, options?: ChangeOptions): Promise<boolean>;

  // Calls

  /**
   * Whether the customer may use so much; meters it when true.
   * @param value default: 0; may be negative, which gives usage back
   * @param event false: no events; an object: data for events and cost functions
   * @param overhead what the call really cost you, in runes
   * @param force the usage already happened: record it whatever it breaks
   */
  allow(id: string, entitlement: string, value: Quantity | undefined,
    options: CallOptions & { detail: true }): Promise<Decision>;
  allow(id: string, entitlement: string, value?: Quantity | CallOptions, event?: EventOrOptions,
    overhead?: number | CallOptions, force?: boolean | CallOptions, options?: CallOptions): Promise<boolean>;
  /** What allow() would answer now. Meters nothing. */
  check(id: string, entitlement: string, value: Quantity | undefined,
    options: CallOptions & { detail: true }): Promise<Decision>;
  check(id: string, entitlement: string, value?: Quantity | CallOptions, event?: EventOrOptions,
    overhead?: number | CallOptions, force?: boolean | CallOptions, options?: CallOptions): Promise<boolean>;
  /** allow(), with the whole decision. */
  decide(id: string, entitlement: string, value?: Quantity | CallOptions, event?: EventOrOptions,
    overhead?: number | CallOptions, force?: boolean | CallOptions, options?: CallOptions): Promise<Decision>;
  /** allow() by as much as takes the meter to `value`. */
  set(id: string, entitlement: string, value: Quantity, event?: EventOrOptions,
    overhead?: number | CallOptions, force?: boolean | CallOptions, options?: CallOptions): Promise<boolean>;
  /** allow() by the limit's increment. */
  increment(id: string, entitlement: string, event?: EventOrOptions, overhead?: number | CallOptions,
    force?: boolean | CallOptions, options?: CallOptions): Promise<boolean>;
  /** Gives the limit's increment back. */
  decrement(id: string, entitlement: string, event?: EventOrOptions, overhead?: number | CallOptions,
    force?: boolean | CallOptions, options?: CallOptions): Promise<boolean>;
  /** What increment() would answer now. */
  checkIncrement(id: string, entitlement: string, event?: EventOrOptions,
    overhead?: number | CallOptions, force?: boolean | CallOptions, options?: CallOptions): Promise<boolean>;
  /** What decrement() would answer now. */
  checkDecrement(id: string, entitlement: string, event?: EventOrOptions,
    overhead?: number | CallOptions, force?: boolean | CallOptions, options?: CallOptions): Promise<boolean>;
  /** Decides each call in order and on its own: a decision, or why it could not be made. */
  allowMany(calls: ManyCall[]): Promise<Array<Decision | { error: string }>>;

  // Holds

  /** Holds room for a call whose size is known only afterwards: the hold's ID; null: not now. */
  reserve(id: string, entitlement: string, options?: ReserveOptions): Promise<string | null>;
  /** Drops the hold and records what was really used. */
  settle(id: string, entitlement: string, hold: string, value: Quantity,
    event?: boolean | string | JsonObject | SettleOptions, overhead?: number | SettleOptions,
    basis?: number | SettleOptions, segment?: string | SettleOptions,
    options?: SettleOptions): Promise<boolean>;
  /** Drops the hold; false when there was none. */
  release(id: string, entitlement: string, hold: string, options?: ChangeOptions): Promise<boolean>;
  /** The room that is held now. */
  held(id: string, entitlement: string): Promise<number>;
  /** What one call is expected to use. */
  estimate(id: string, entitlement: string,
    basis?: number | { basis?: number; segment?: string; quantile?: number; context?: JsonObject },
    segment?: string, quantile?: number): Promise<Estimate | undefined>;
  /** Learns from a call without a hold. */
  observe(id: string, entitlement: string, value: Quantity, overhead?: number | ObserveOptions,
    basis?: number, segment?: string, options?: ObserveOptions): Promise<boolean>;

  // Grants and plans

  /** One more grant of a topup of the customer's plan. */
  applyCustomerTopup(id: string, topup: string, options?: ChangeOptions): Promise<boolean>;
  /** Grants what the plan includes, where it is missing. */
  ensureCustomerIncludedTopups(id: string, options?: ChangeOptions): Promise<true>;
  /** Counts the plan's subscription once, after the trial; true only then. */
  ensureCustomerPlanQuantity(id: string, options?: ChangeOptions): Promise<boolean>;
  /** What is left of all grants in a credit. */
  remainingCredit(id: string, credit: string): Promise<number | undefined>;

  // Spend caps and margins

  /** The new cap's record; null when it cannot be added. */
  addCustomerCap(id: string, value: number, options?: CapOptions): Promise<JsonObject | null>;
  /** A cap's record, with what has been used of it. */
  customerCap(id: string, cap: string): Promise<JsonObject | undefined>;
  /** Begins the cap anew, from nothing; false when there is none. */
  resetCustomerCap(id: string, cap: string, options?: ChangeOptions): Promise<boolean>;
  /** False when there was none. */
  removeCustomerCap(id: string, cap: string, options?: ChangeOptions): Promise<boolean>;
  /** Measures a stretch of work under an ID of yours; false when the ID is in use. */
  startMarginMeasurement(customer: string, id: string,
    overageOnly?: boolean | { overageOnly?: boolean; ignoreGrants?: boolean; request?: string },
    ignoreGrants?: boolean, options?: ChangeOptions): Promise<boolean>;
  /** What was charged and what it cost since the start; ends the measurement. */
  captureMarginMeasurement(customer: string, id: string,
    options?: ChangeOptions): Promise<MeasuredMargin | undefined>;
  /** What the customer earned and cost this period. */
  customerMarginSnapshot(id: string): Promise<Margin | undefined>;
  /** What imagined usage of a plan would earn and cost. */
  marginSnapshot(plan: string, entitlements: ImaginedUsage,
    scaled?: boolean | { scaled?: boolean }): Promise<Margin | undefined>;

  // Reads: undefined where customer or figure is unknown

  /** The meter. */
  value(id: string, entitlement: string, percent?: boolean | { percent?: boolean; grants?: boolean },
    grants?: boolean): Promise<number | undefined>;
  /** What is left, grants included unless `grants` is false. */
  remaining(id: string, entitlement: string,
    percent?: boolean | { percent?: boolean; grants?: boolean }, grants?: boolean): Promise<number | undefined>;
  /** The limit, grants included unless `grants` is false; of a customer or a plan. */
  limit(id: string, entitlement: string, grants?: boolean | { grants?: boolean }): Promise<number | undefined>;
  /** What can run right now: `remaining`, but at most what the governor's bucket holds. */
  allowance(id: string, entitlement: string, grants?: boolean | { grants?: boolean }): Promise<number | undefined>;
  /** The limit's `increment`; of a customer or a plan. */
  cost(id: string, entitlement: string): Promise<number | undefined>;
  /** When the meter's next period begins, in milliseconds since 1970. */
  resets(id: string, entitlement: string): Promise<number | undefined>;
  /** Units per millisecond. */
  rate(id: string, entitlement: string): Promise<number>;
  /** How the rate changes. */
  acceleration(id: string, entitlement: string): Promise<number>;
  /** Milliseconds until the limit at the present rate. */
  projectedExhaustion(id: string, entitlement: string,
    smoothed?: boolean | { smoothed?: boolean; grants?: boolean }, grants?: boolean): Promise<number | undefined>;
  /** The meter's record. */
  meterObject(id: string, entitlement: string): Promise<JsonObject | undefined>;
  /** The limit that counts, of a customer or a plan: as the policy or an override has it. */
  limitObject(id: string, entitlement: string): Promise<JsonObject | undefined>;
  /** The entitlement as the policy has it, of a customer or a plan. */
  entitlement(id: string, entitlement: string): Promise<JsonObject | undefined>;
  /** Of a customer, or by its name. */
  plan(id: string): Promise<JsonObject | undefined>;
  /** The plan of those who have no other. */
  defaultPlan(): Promise<JsonObject | undefined>;
  /** The plan's `period`, of a customer or by its name. */
  planPeriod(id: string): Promise<string | undefined>;
  /** Milliseconds. */
  planTrialPeriod(id: string): Promise<number | undefined>;
  /** The entitlement that counts the plan's subscriptions. */
  planSubscriptionEntitlement(id: string): Promise<string | undefined>;
  /** A credit as the policy has it. */
  credit(name: string): Promise<JsonObject | undefined>;
  /** The credit of an entitlement, of a customer or a plan. */
  creditFor(id: string, entitlement: string): Promise<JsonObject | undefined>;
  /** `value` of one credit in another; default: 1. */
  creditExchange(from: string, to: string, value?: number): Promise<number | undefined>;

  // Policy

  /** The running policy's document. */
  policy(): Promise<JsonObject>;
  /** Another policy, while calls go on. */
  setPolicy(policy: Policy, format?: PolicyFormat): Promise<true>;
  /** Adds or replaces one plan. */
  setPlan(id: string, document: JsonObject | string): Promise<true>;
  /** False when there was none. */
  deletePlan(id: string): Promise<boolean>;
  /** Replaces all notifications of the policy. */
  setNotifications(notifications: JsonObject | string): Promise<true>;
  /** Where another policy differs from the running one. */
  difference(other: Policy, format?: PolicyFormat): Promise<Difference[]>;

  // Events

  /**
   * Tells a handler of everything that happens. One of the same name is replaced, in its place.
   * All handlers are given the same object. One that throws or rejects is logged.
   */
  addHandler(name: string, handler: Handler): Promise<void>;
  /** False when there was none. */
  removeHandler(name: string): Promise<boolean>;
  /** Removes all handlers. */
  clearHandlers(): Promise<void>;

  // Web frameworks

  /**
   * Decides each request with decide(), once: `app.use(limitr.middleware(...))` in Express,
   * `fastify.addHook('preHandler', limitr.middleware(...))` in Fastify.
   *
   * Sets RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset. A denied request is answered with
   * 429, and Retry-After at a limit that resets; with 403 where customer or plan do not have the
   * entitlement at all. What a function of yours throws, and errors of the store, go to the
   * framework's error handling: the route does not run.
   * @throws TypeError for options that are missing, unknown or of the wrong kind
   */
  middleware(options: MiddlewareOptions): Middleware;

  // State and store

  /** Reads these customers ahead of their use. */
  warm(ids: string[]): Promise<void>;
  /** Everything in the state that contradicts itself; nothing: the books balance. */
  fsck(): Promise<AuditFinding[]>;
  /** Everything there is, for importState(). */
  exportState(): Promise<JsonObject>;
  /** Takes back what exportState() gave. */
  importState(state: JsonObject | string): Promise<LoadReport>;
}

export default Limitr;
