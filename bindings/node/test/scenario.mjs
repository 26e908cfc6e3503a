// SPDX-License-Identifier: Apache-2.0
// Plays a scenario of tests/vectors on the package: a small reader of the format in its README.

import { createRequire } from 'node:module';

import { Limitr, ManualClock } from '../lib/index.mjs';

const { CALLS, RENAMED } = createRequire(import.meta.url)('../lib/calls.cjs');

const METHODS = {
  delete_customer: 'removeCustomer',
  set_alt_customer_id: 'addAltID',
  delete_alt_customer_id: 'removeAltID',
  ensure_included_topups: 'ensureCustomerIncludedTopups',
  ensure_plan_subscription: 'ensureCustomerPlanQuantity',
  credit_remaining: 'remainingCredit',
  meter: 'meterObject',
  customer_margin: 'customerMarginSnapshot',
  customer_local_margin_breakdown: 'customerMarginSnapshot',
  plan_margin: 'marginSnapshot',
};

const MOMENTS = new Set(['started', 'ts', 'expires', 'expires_on', 'created_on', 'granted_on',
  'last_reset', 'override_expires_on', 'updated', 'governor_last_refill', 'resets']);

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const camelCase = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const snakeCase = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The method for a call, and its arguments: by place where they have one, the others by name. */
export function methodCall(call, args) {
  const method = METHODS[call] ?? camelCase(call);
  const options = { ...args };
  const takes = method === 'addCustomerCap' ? ['id', 'value'] : CALLS[method].takes;
  const places = takes.map((name) => {
    const key = RENAMED[name] ?? snakeCase(name);
    const value = options[key];
    delete options[key];
    return value;
  });
  return [method, Object.keys(options).length > 0 ? [...places, options] : places];
}

function agree(expected, actual) {
  const magnitude = Math.max(1, Math.abs(expected), Math.abs(actual));
  // A little above 1e-9, because both sides were rounded to nine decimals before.
  return Math.abs(expected - actual) <= 1.000001e-9 * magnitude;
}

function equalLeaf(expected, actual, field) {
  if (expected === null) return actual === null || actual === undefined;
  if (typeof expected === 'string' && isObject(actual)) {
    return (actual.id ?? actual.name) === expected;
  }
  if (typeof expected !== 'number' || typeof actual !== 'number') return expected === actual;
  return MOMENTS.has(field) ? expected === actual : agree(expected, actual);
}

/** Where `actual` differs from what is expected of it, or undefined. */
export function difference(expected, actual, path) {
  if (isObject(expected) && isObject(actual)) {
    for (const [key, value] of Object.entries(expected)) {
      const found = difference(value, actual[key], `${path}.${key}`);
      if (found) return found;
    }
    return undefined;
  }
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length === actual.length) {
    for (let i = 0; i < expected.length; ++i) {
      const found = difference(expected[i], actual[i], `${path}[${i}]`);
      if (found) return found;
    }
    return undefined;
  }
  if (equalLeaf(expected, actual, path.split('.').at(-1))) return undefined;
  return `${path}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(actual)}`;
}

function answerDifference(call, expected, actual) {
  // What was created or held: true, or its label, says that it is there.
  if (call === 'add_customer_cap') return difference(expected, actual !== null, 'answer');
  if (call === 'reserve' && typeof expected === 'string') {
    return typeof actual === 'string' ? undefined : `expected a hold, found ${actual}`;
  }
  // What has nothing to say is true here.
  if (expected === null && actual === true) return undefined;
  return difference(expected, actual, 'answer');
}

/** Each expected grant is one of the actual ones; the most exacting choose first. */
function grantsDifference(expected, actual, path) {
  if (expected.length !== actual.length) {
    return `${path}: expected ${expected.length} grants, found ${JSON.stringify(actual)}`;
  }
  const left = [...actual];
  const size = (grant) => Object.keys(grant).length;
  for (const grant of [...expected].sort((a, b) => size(b) - size(a))) {
    const at = left.findIndex((candidate) => !difference(grant, candidate, path));
    if (at < 0) return `${path}: no grant ${JSON.stringify(grant)} in ${JSON.stringify(actual)}`;
    left.splice(at, 1);
  }
  return undefined;
}

function keysDifference(expected, actual, path) {
  const wanted = Object.keys(expected).sort().join();
  const got = Object.keys(actual).sort().join();
  return wanted === got ? undefined : `${path}: expected the keys ${wanted}, found ${got}`;
}

function customerDifference(expected, actual, path, now) {
  for (const meter of Object.values(actual.meters ?? {})) {
    meter.held = Object.values(meter.holds ?? {}).reduce((sum, hold) => sum + hold.value, 0);
  }
  for (const [id, cap] of Object.entries(actual.caps ?? {})) {
    if (typeof cap.expires_on === 'number' && cap.expires_on < now) delete actual.caps[id];
  }
  for (const [key, value] of Object.entries(expected)) {
    const place = `${path}.${key}`;
    const complete = ['meters', 'overrides', 'caps'].includes(key) && isObject(value);
    const found = key === 'grants' && Array.isArray(value)
      ? grantsDifference(value, Object.values(actual.grants), place)
      : (complete && keysDifference(value, actual[key], place)) ||
        difference(value, actual[key], place);
    if (found) return found;
  }
  return undefined;
}

async function stateDifference(limitr, expected, now) {
  // A state is expected as it is after every grant was looked at.
  for (const [id, customer] of Object.entries(await limitr.customers())) {
    const [grant] = Object.values(customer.grants);
    if (grant) await limitr.remainingCredit(id, grant.credit ?? 'rune');
  }
  const actual = await limitr.customers();
  const found = keysDifference(expected, actual, 'state');
  if (found) return found;
  for (const [id, customer] of Object.entries(expected)) {
    const differs = customerDifference(customer, actual[id], `state.${id}`, now);
    if (differs) return differs;
  }
  return undefined;
}

function eventsDifference(expected, events) {
  const wanted = expected.map((event) => event.type).join();
  const got = events.map((event) => event.type).join();
  return wanted === got ? difference(expected, events, 'events')
    : `events: expected ${wanted || 'none'}, found ${got || 'none'}`;
}

/** Plays one scenario: where it went another way, or undefined; and how many steps there were. */
export async function play(scenario, options = {}) {
  const clock = new ManualClock(scenario.steps[0].at);
  const limitr = await Limitr.open(scenario.policy, { ...options, clock });
  const events = [];
  await limitr.addHandler('scenario', (type, value) => events.push({ ...value, type }));
  if (scenario.customers) await limitr.loadCustomers(scenario.customers);
  const holds = new Map();
  const problem = async () => {
    for (const [i, step] of scenario.steps.entries()) {
      clock.set(step.at);
      const args = { ...step.args };
      if (args.hold !== undefined) args.hold = holds.get(args.hold) ?? args.hold;
      const [method, given] = methodCall(step.call, args);
      events.length = 0;
      const answer = await limitr[method](...given);
      if (step.call === 'reserve' && typeof step.expect === 'string') holds.set(step.expect, answer);
      const found = answerDifference(step.call, step.expect, answer) ??
        (step.events ? eventsDifference(step.events, events) : undefined);
      if (found) return `step ${i + 1}, ${step.call}: ${found}`;
    }
    return scenario.state
      ? stateDifference(limitr, scenario.state, scenario.steps.at(-1).at) : undefined;
  };
  const found = await problem();
  await limitr.close();
  return found;
}
