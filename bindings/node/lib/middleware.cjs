// SPDX-License-Identifier: Apache-2.0
'use strict';
// One function for Express, Connect, plain http servers and Fastify: it decides a request before the
// route runs, and says what is left in the answer.

const { isMapping, shown } = require('./arguments.cjs');

// Trying again later does not help: the plan does not have it, or nobody is there to have it.
const FORBIDDEN = new Set(['unknown_customer', 'unknown_entitlement', 'no_scope_customer']);

// Each option: what it is called, and whether a value is one.
const isFunction = (value) => typeof value === 'function';
const isText = (value) => typeof value === 'string' && value !== '';
const isAmount = (value) => typeof value === 'number' || isText(value);
const OPTIONS = {
  entitlement: ['a text or a function', (value) => isText(value) || isFunction(value)],
  customer: ['a function', isFunction],
  value: ['a number, a text with a unit, or a function', (value) => isAmount(value) || isFunction(value)],
  plan: ['a text or a function', (value) => typeof value === 'string' || isFunction(value)],
  ensure: ['true or false', (value) => typeof value === 'boolean'],
  denied: ['a function', isFunction],
};

function checkOptions(options) {
  if (!isMapping(options)) throw new TypeError(`options: expected an object, found ${shown(options)}`);
  for (const [name, value] of Object.entries(options)) {
    if (!(name in OPTIONS)) throw new TypeError(`${name}: there is no such option`);
    const [wanted, fits] = OPTIONS[name];
    if (value !== undefined && !fits(value)) {
      throw new TypeError(`${name}: expected ${wanted}, found ${shown(value)}`);
    }
  }
  for (const name of ['entitlement', 'customer']) {
    if (options[name] === undefined) {
      throw new TypeError(`${name}: expected ${OPTIONS[name][0]}, found nothing`);
    }
  }
}

function secondsUntil(moment, now) {
  return Math.max(0, Math.ceil((moment - now) / 1000));
}

/**
 * The headers that tell a client about a decision: RateLimit-Limit, -Remaining and -Reset as the IETF's
 * draft-ietf-httpapi-ratelimit-headers has them up to its version 06, and Retry-After at the limit.
 * They hold whole numbers: what is left is rounded down, seconds up.
 */
function rateLimitHeaders(decision, now = Date.now()) {
  const headers = {};
  if (decision.limit !== null) {
    headers['RateLimit-Limit'] = String(Math.max(0, Math.floor(decision.limit)));
    headers['RateLimit-Remaining'] = String(Math.max(0, Math.floor(decision.remaining ?? 0)));
  }
  if (decision.resets === null) return headers;
  const seconds = String(secondsUntil(decision.resets, now));
  headers['RateLimit-Reset'] = seconds;
  // A cap or a governor has room at another time, which the decision does not say.
  if (decision.reason === 'limit') headers['Retry-After'] = seconds;
  return headers;
}

// Fastify's replies are no streams: they have the server's response inside.
const isFastify = (res) => typeof res.setHeader !== 'function';

function setHeaders(res, headers) {
  for (const [name, value] of Object.entries(headers)) {
    if (isFastify(res)) res.header(name, value);
    else res.setHeader(name, value);
  }
}

/** Answers for the route that will not run. */
function deny(res, entitlement, decision) {
  const status = FORBIDDEN.has(decision.reason) ? 403 : 429;
  const body = JSON.stringify({ error: decision.reason, entitlement, resets: decision.resets });
  if (isFastify(res)) {
    res.code(status).header('Content-Type', 'application/json; charset=utf-8').send(body);
    return;
  }
  res.statusCode = status;
  res.setHeader('Content-Type', 'application/json; charset=utf-8');
  res.end(body);
}

/** What an option is for this request. */
async function asked(option, req, name, fits, wanted) {
  const value = isFunction(option) ? await option(req) : option;
  if (!fits(value)) throw new TypeError(`${name}: expected ${wanted}, found ${shown(value)}`);
  return value;
}

/**
 * @param {import('./index.js').Limitr} limitr
 * @param {import('./index.js').MiddlewareOptions} options
 * @param {() => number} now the engine's clock
 */
function middleware(limitr, options, now) {
  checkOptions(options);
  const { entitlement, customer, value = 1, plan, ensure = true, denied } = options;
  // A request that comes by twice, where this stands before an application and its router, counts once.
  const seen = new WeakSet();

  async function decide(req, res) {
    const id = await asked(customer, req, 'customer', isText, 'a text');
    const what = await asked(entitlement, req, 'entitlement', isText, 'a text');
    const amount = await asked(value, req, 'value', isAmount, 'a number, or a text with a unit');
    if (ensure) await limitr.ensureCustomer(id, isFunction(plan) ? await plan(req) : plan);
    const decision = await limitr.decide(id, what, amount);
    setHeaders(res, rateLimitHeaders(decision, now()));
    if (decision.allowed) return true;
    if (denied) await denied(req, res, decision);
    else deny(res, what, decision);
    return false;
  }

  // Not an async function itself: Fastify takes those for hooks of another kind.
  return function limit(req, res, next) {
    if (seen.has(req)) {
      next();
      return;
    }
    seen.add(req);
    decide(req, res).then((allowed) => {
      if (allowed) next();
    }, next);
  };
}

module.exports = { middleware, rateLimitHeaders };
