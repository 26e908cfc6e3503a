// SPDX-License-Identifier: Apache-2.0
// The types: programs compile, and every method is in the types, on the class and in the engine.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';

import { Limitr } from '../lib/index.mjs';
import { methodsByCall, ownMethods } from '../methods.mjs';
import { packageRoot, run } from './policy.mjs';

const require = createRequire(import.meta.url);

// What the specification lists for TypeScript, and what every language has besides.
const LISTED = `valid version flush close
  ensureCustomer createCustomer customer customers loadCustomers setCustomer ensureSetCustomer
  removeCustomer setCustomerPlan customerMetadata customerRefs setCustomerRefs addAltID removeAltID
  createCustomerOverride removeCustomerOverride
  allow check increment decrement checkIncrement checkDecrement decide
  reserve settle release held estimate observe
  applyCustomerTopup ensureCustomerIncludedTopups ensureCustomerPlanQuantity remainingCredit
  addCustomerCap customerCap resetCustomerCap removeCustomerCap startMarginMeasurement
  captureMarginMeasurement customerMarginSnapshot marginSnapshot
  value remaining limit allowance cost resets rate acceleration projectedExhaustion meterObject
  limitObject entitlement plan defaultPlan credit creditFor creditExchange
  planPeriod planTrialPeriod planSubscriptionEntitlement
  setPlan deletePlan setNotifications difference policy setPolicy
  addHandler removeHandler clearHandlers
  set warm allowMany fsck exportState importState
  middleware`.split(/\s+/);
const LISTED_STATIC = ['new', 'open', 'openStored', 'cloud', 'validate'];

const types = fs.readFileSync(path.join(packageRoot, 'lib', 'index.d.ts'), 'utf8');
const ofClass = types.slice(types.indexOf('export class Limitr '));

function declared(pattern) {
  return [...new Set([...ofClass.matchAll(pattern)].map((match) => match[1]))].sort();
}

test('programs compile, whether they import or require', async () => {
  const tsc = path.join(packageRoot, 'node_modules', '.bin', 'tsc');
  const { code, output } = await run(tsc, [
    '--strict', '--noEmit', '--target', 'es2022', '--module', 'node16', '--types', 'node',
    'test/types/every_method.mts', 'test/types/frameworks.mts', 'test/types/required.cts'], { cwd: packageRoot });
  assert.equal(code, 0, output);
});

test('the class has what is listed, and nothing else', () => {
  assert.deepEqual(ownMethods(Limitr.prototype), [...LISTED].sort());
  assert.deepEqual(ownMethods(Limitr), [...LISTED_STATIC].sort());
});

test('the types have what the class has', () => {
  assert.deepEqual(declared(/^ {2}(?!private|static|constructor)(\w+)\(/gm), [...LISTED].sort());
  assert.deepEqual(declared(/^ {2}static (\w+)\(/gm), [...LISTED_STATIC].sort());
});

test('every method says what it does', () => {
  const documented = new Set([...ofClass.matchAll(/\*\/\n {2}(?:static )?(\w+)\(/g)].map((match) => match[1]));
  assert.deepEqual([...LISTED, ...LISTED_STATIC].filter((name) => !documented.has(name)), []);
});

test('the compiled program uses every method', () => {
  const program = fs.readFileSync(path.join(packageRoot, 'test', 'types', 'every_method.mts'), 'utf8');
  const missing = [...LISTED, ...LISTED_STATIC].filter((name) => !program.includes(`imitr.${name}(`));
  assert.deepEqual(missing, []);
});

test('every call of the engine has a method', () => {
  const calls = JSON.parse(require('../lib/binary.cjs').loadBinary().calls()).map((call) => call.name);
  const named = methodsByCall();
  // Other names that scenarios accept.
  const others = new Set(['customer_local_margin_breakdown', 'plan_sub_entitlement_name']);
  const missing = calls.filter((name) => !others.has(name) && !(named[name] in Limitr.prototype));
  assert.deepEqual(missing, []);
});
