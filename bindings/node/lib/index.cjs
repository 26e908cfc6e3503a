// SPDX-License-Identifier: Apache-2.0
'use strict';

const { Parameters, isMapping, shown, snakeKeys } = require('./arguments.cjs');
const { loadBinary } = require('./binary.cjs');
const { ADD_CAP, CALLS } = require('./calls.cjs');
const { LimitrError } = require('./error.cjs');
const { middleware, rateLimitHeaders } = require('./middleware.cjs');

const binary = loadBinary();
const parameters = new Parameters(binary.calls());

// What the addon puts in the list that it gives to onMessages(), as its header has it.
const DECISION = 0;
const ANSWER = 1;
const FAILURE = 2;
const EVENT = 3;
const LOG = 4;

// What the addon's decide() makes.
const ALLOW = 0;
const CHECK = 1;
const SET = 2;
const INCREMENT = 3;
const DECREMENT = 4;
const CHECK_INCREMENT = 5;
const CHECK_DECREMENT = 6;

// Whose policy an engine has, as the addon's open() takes it.
const GIVEN = 0;
const STORE = 1;
const SERVER = 2;

// Most answers are one of two: nobody can tell these promises from new ones, and they cost nothing.
const ALLOWED = Promise.resolve(true);
const DENIED = Promise.resolve(false);

// Engines with calls that are not answered: their promises come, whoever lets go of the engine.
const busy = new Set();

// Those that come after so many are called by name.
const MOST_HANDLES = 50_000;
// What may give an ID that has a handle to another customer.
const MOVES_IDS = new Set(['set_alt_customer_id', 'delete_alt_customer_id', 'delete_customer',
  'set_customer', 'ensure_set_customer', 'load_customers']);

const HOST_KINDS = ['overhead', 'rates', 'notifications'];

// Why there is no engine of a server, where neither its options nor its policy are to blame.
const NO_CONNECTION = new Set(['unconnected', 'unauthorized']);

function failureOf([code, message, where]) {
  return new LimitrError(code, message, where);
}

/** What the addon gave, or the promise's rejection. */
function orThrow(answer) {
  if (Array.isArray(answer)) throw failureOf(answer);
  return answer;
}

function checkOptions(options) {
  if (!isMapping(options)) {
    throw new TypeError(`options: expected an object, found ${shown(options)}`);
  }
}

function checkFunction(name, given) {
  if (typeof given !== 'function') {
    throw new TypeError(`${name}: expected a function, found ${shown(given)}`);
  }
}

/** A policy as the text and format that the engine takes. */
function policyText(policy, format) {
  if (typeof policy === 'string') return [policy, format];
  if (isMapping(policy)) return [JSON.stringify(policy), 'json'];
  throw new TypeError(`policy: expected a text or an object, found ${shown(policy)}`);
}

/** The functions of the `host` option as [kind, name] and by "kind name". */
function hostFunctions(host) {
  const names = [];
  const functions = new Map();
  for (const [kind, members] of Object.entries(host ?? {})) {
    if (!HOST_KINDS.includes(kind)) {
      throw new TypeError(`host.${kind}: there is no such kind (known: ${HOST_KINDS.join(', ')})`);
    }
    for (const [name, made] of Object.entries(members)) {
      checkFunction(`host.${kind}.${name}`, made);
      names.push([kind, name]);
      functions.set(`${kind} ${name}`, made);
    }
  }
  return { names, functions };
}

/** Calls a host function with what the addon has of its arguments. */
function askHost(made, kind, first, second) {
  if (kind === 'overhead') return Number(made(first, JSON.parse(second)));
  if (kind === 'rates') return Number(made());
  return made(first, JSON.parse(second)) ? 1 : 0;
}

class Limitr {
  #engine;
  // With a store no call is made on this thread: it might wait.
  #waits = false;
  #handlers = new Map();
  #log;
  #clock;
  #ticket = 0;
  #pending = new Map();
  #idle = [];
  // Who and what was called before, by name: a number is faster to hand over than two texts.
  #handles = new Map();
  #handleCount = 0;

  static new(policy, format = 'yaml', validate = true) {
    return Limitr.open(policy, { format, validate });
  }

  static async open(policy, options = {}) {
    checkOptions(options);
    const [text, format] = policyText(policy, options.format ?? 'yaml');
    return new Limitr(options).#open(GIVEN, text, { ...options, format });
  }

  static async openStored(options) {
    checkOptions(options);
    return new Limitr(options).#open(STORE, '', options);
  }

  static async cloud(options) {
    checkOptions(options);
    const { onError, ...others } = options;
    if (onError !== undefined) checkFunction('onError', onError);
    const limitr = new Limitr(others);
    try {
      return await limitr.#open(SERVER, '', others);
    } catch (error) {
      if (!(error instanceof LimitrError) || !NO_CONNECTION.has(error.code)) throw error;
      limitr.#write(`there is no engine of the Cloud server: ${error.message} (${error.code})`);
      if (onError !== undefined) limitr.#tellOne('onError', error.code, () => onError(error));
      return undefined;
    }
  }

  static async validate(policy, format = 'yaml') {
    const [text, language] = policyText(policy, format);
    return JSON.parse(orThrow(binary.validate(text, JSON.stringify({ format: language }))));
  }

  constructor(options) {
    if (!isMapping(options)) throw new TypeError('open an engine with Limitr.new(), Limitr.open() or Limitr.cloud()');
    const { host, clock, log } = options;
    if (log !== undefined) checkFunction('log', log);
    if (clock !== undefined && !(clock instanceof binary.ManualClock)) {
      throw new TypeError(`clock: expected a ManualClock, found ${shown(clock)}`);
    }
    const { names, functions } = hostFunctions(host);
    this.#log = log;
    this.#clock = clock;
    this.#engine = new binary.Engine(names, log !== undefined, clock);
    this.#engine.onEvent = (type, payload) => this.#tell(type, payload);
    this.#engine.onMessages = (list) => this.#receive(list);
    this.#engine.onHost = (kind, name, first, second) => {
      try {
        return askHost(functions.get(`${kind} ${name}`), kind, first, second);
      } catch (error) {
        this.#write(`host function ${name} threw: ${error?.stack ?? error}`);
        return undefined;
      }
    };
  }

  async #open(whose, policy, options) {
    const { host, clock, log, ...data } = options;
    this.#waits = whose !== GIVEN || Boolean(data.store);
    orThrow(await this.#engine.open(whose, policy, JSON.stringify(snakeKeys(data))));
    return this;
  }

  // The calls that are made most, without options and where nothing waits: no text is made of them.
  // All others, and what is wrong, go the long way.

  allow(id, entitlement, value = 0, event, overhead, force, options) {
    if (typeof id === 'string' && typeof entitlement === 'string' && typeof value === 'number' &&
        (event === undefined || event === true) && overhead === undefined && force === undefined &&
        options === undefined) {
      if (this.#waits) return this.#allowLater(id, entitlement, value);
      const handle = this.#handles.get(id)?.get(entitlement) ?? this.#handle(id, entitlement);
      const answer = handle === undefined ? this.#engine.decide(ALLOW, id, entitlement, value)
        : this.#engine.allow(handle, value);
      if (answer === 1) return ALLOWED;
      return answer === 0 ? DENIED : Promise.reject(failureOf(answer));
    }
    return this.#make(CALLS.allow, [id, entitlement, value, event, overhead, force, options]);
  }

  check(...given) {
    return this.#decide(CHECK, CALLS.check, given, 3);
  }

  set(...given) {
    return this.#decide(SET, CALLS.set, given, 3);
  }

  increment(...given) {
    return this.#decide(INCREMENT, CALLS.increment, given, 2);
  }

  decrement(...given) {
    return this.#decide(DECREMENT, CALLS.decrement, given, 2);
  }

  checkIncrement(...given) {
    return this.#decide(CHECK_INCREMENT, CALLS.checkIncrement, given, 2);
  }

  checkDecrement(...given) {
    return this.#decide(CHECK_DECREMENT, CALLS.checkDecrement, given, 2);
  }

  static {
    for (const [name, call] of Object.entries(CALLS)) {
      if (name in Limitr.prototype) continue;
      const method = { [name](...given) { return this.#make(call, given); } }[name];
      Object.defineProperty(Limitr.prototype, name,
                            { value: method, writable: true, configurable: true });
    }
  }

  async addCustomerCap(...given) {
    const id = await this.#make(ADD_CAP, given);
    return id === null ? null : (await this.customerCap(given[0], id)) ?? null;
  }

  /** [whether the policy follows the rules, what is wrong with it]. */
  async valid() {
    const policy = JSON.stringify(await this.policy());
    const issues = JSON.parse(orThrow(binary.validate(policy, '{"format":"json"}')));
    const error = issues.find((issue) => issue.severity === 'error');
    return error ? [false, `${error.path}: ${error.message}`] : [true, ''];
  }

  async difference(other, format = 'yaml') {
    const [text, language] = policyText(other, format);
    const policy = JSON.stringify(await this.policy());
    const json = JSON.stringify({ format: language });
    return JSON.parse(orThrow(binary.difference(policy, '{"format":"json"}', text, json)));
  }

  async version() {
    return binary.version();
  }

  async close() {
    // Those that were made before: closing waits for nobody in the engine.
    while (this.#pending.size > 0) await new Promise((resolve) => this.#idle.push(resolve));
    return orThrow(await this.#engine.close());
  }

  async addHandler(name, handler) {
    if (typeof name !== 'string') throw new TypeError(`name: expected a text, found ${shown(name)}`);
    if (typeof handler !== 'function') {
      throw new TypeError(`handler: expected a function, found ${shown(handler)}`);
    }
    if (this.#handlers.size === 0) this.#engine.listen(true);
    this.#handlers.set(name, handler);
  }

  async removeHandler(name) {
    const was = this.#handlers.delete(name);
    if (was && this.#handlers.size === 0) this.#engine.listen(false);
    return was;
  }

  async clearHandlers() {
    this.#handlers.clear();
    this.#engine.listen(false);
  }

  middleware(options) {
    return middleware(this, options, () => this.#clock?.get() ?? Date.now());
  }

  /** A new handle; undefined where customer or entitlement is unknown today, or there are enough. */
  #handle(id, entitlement) {
    if (this.#handleCount >= MOST_HANDLES) return undefined;
    const handle = this.#engine.handle(id, entitlement);
    if (handle === undefined) return undefined;
    const handles = this.#handles.get(id);
    if (handles) handles.set(entitlement, handle);
    else this.#handles.set(id, new Map([[entitlement, handle]]));
    this.#handleCount += 1;
    return handle;
  }

  #dropHandles() {
    this.#handles.clear();
    this.#handleCount = 0;
    this.#engine.dropHandles();
  }

  #decide(kind, call, given, most) {
    const [id, entitlement, value = 0] = given;
    if (!this.#waits && given.length >= 2 && given.length <= most && typeof id === 'string' &&
        typeof entitlement === 'string' && typeof value === 'number' &&
        (kind !== SET || given.length === 3)) {
      const answer = this.#engine.decide(kind, id, entitlement, value);
      if (answer === 1) return ALLOWED;
      return answer === 0 ? DENIED : Promise.reject(failureOf(answer));
    }
    return this.#make(call, given);
  }

  #make(call, given) {
    let named;
    let text;
    try {
      named = parameters.of(call, given);
      text = JSON.stringify(named);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#waits) {
      return this.#later((ticket) => this.#engine.callAsync(ticket, call.name, text), call, named);
    }
    if (MOVES_IDS.has(call.name)) this.#dropHandles();
    const answer = this.#engine.call(call.name, text);
    if (typeof answer !== 'string') return Promise.reject(failureOf(answer));
    return Promise.resolve(call.give(JSON.parse(answer), named));
  }

  #allowLater(id, entitlement, value) {
    return this.#later((ticket) => this.#engine.allowAsync(ticket, id, entitlement, value));
  }

  #later(make, call, named) {
    return new Promise((resolve, reject) => {
      if (this.#pending.size === 0) {
        busy.add(this);
        this.#engine.hold(true);
      }
      const ticket = this.#ticket++;
      this.#pending.set(ticket, { resolve, reject, call, named });
      make(ticket);
    });
  }

  #receive(list) {
    for (let i = 0; i < list.length; i += 3) {
      const kind = list[i];
      if (kind === EVENT) {
        this.#tell(list[i + 1], list[i + 2]);
      } else if (kind === LOG) {
        this.#write(list[i + 2]);
      } else {
        this.#answer(kind, list[i + 1], list[i + 2]);
      }
    }
  }

  #answer(kind, ticket, answer) {
    const { resolve, reject, call, named } = this.#pending.get(ticket);
    this.#pending.delete(ticket);
    if (kind === DECISION) {
      resolve(answer === 1);
    } else if (kind === ANSWER) {
      resolve(call.give(JSON.parse(answer), named));
    } else if (kind === FAILURE) {
      reject(failureOf(answer));
    }
    if (this.#pending.size > 0) return;
    busy.delete(this);
    this.#engine.hold(false);
    for (const wake of this.#idle.splice(0)) wake();
  }

  #tell(type, payload) {
    if (this.#handlers.size === 0) return;
    const value = JSON.parse(payload);
    // Those of now: a handler may add and remove others.
    for (const [name, handler] of [...this.#handlers]) {
      this.#tellOne(`handler ${name}`, type, () => handler(type, value));
    }
  }

  /** Calls a function of the program's, which is not waited for; what it throws is logged. */
  #tellOne(who, type, call) {
    const failed = (error) => this.#write(`${who} threw for ${type}: ${error?.stack ?? error}`);
    try {
      const waiting = call();
      if (typeof waiting?.then === 'function') waiting.then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }

  #write(message) {
    try {
      if (this.#log) this.#log(message);
      else console.error(`limitr: ${message}`);
    } catch (error) {
      console.error(`limitr: the log threw: ${error?.stack ?? error}`);
    }
  }
}


module.exports = {
  __esModule: true,
  default: Limitr,
  Limitr,
  LimitrError,
  ManualClock: binary.ManualClock,
  rateLimitHeaders,
  version: binary.version(),
};
