// SPDX-License-Identifier: Apache-2.0
// How calls are made, answered and refused.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';

import { Limitr, LimitrError, ManualClock, version } from '../lib/index.mjs';
import { policy } from './policy.mjs';

async function opened(options = {}) {
  const limitr = await Limitr.open(policy, options);
  await limitr.ensureCustomer('ann', 'pro');
  return limitr;
}

test('a policy is a text in one of three formats, or an object', async () => {
  const yaml = 'policy: {plans: {p: {default: true, entitlements: {a: {}}}}}';
  const toml = '[policy.plans.p]\ndefault = true\n[policy.plans.p.entitlements.a]\n';
  const json = '{"policy": {"plans": {"p": {"default": true, "entitlements": {"a": {}}}}}}';
  for (const given of [[yaml], [yaml, 'yaml'], [toml, 'toml'], [json, 'json'], [JSON.parse(json)]]) {
    const limitr = await Limitr.new(...given);
    assert.equal(await limitr.ensureCustomer('ann'), true);
    assert.equal(await limitr.allow('ann', 'a'), true);
  }
});

test('a bad policy says what is wrong, and where', async () => {
  const error = await Limitr.new('policy:\n  plans: 5\n').catch((thrown) => thrown);
  assert.ok(error instanceof LimitrError && error instanceof Error);
  assert.equal(error.code, 'policy_invalid');
  assert.equal(error.where, 'policy.plans (2:10)');
  assert.match(error.message, /^policy\.plans \(2:10\): /);
  assert.match(error.stack, /^LimitrError: policy\.plans/);
});

test('a policy that is taken as it is says that it is not valid', async () => {
  const bad = { policy: { plans: { p: { entitlements: { a: { limit: { credit: 'none', value: 1 } } } } } } };
  await assert.rejects(Limitr.new(bad), LimitrError);
  const limitr = await Limitr.new(bad, 'yaml', false);
  const [ok, message] = await limitr.valid();
  assert.equal(ok, false);
  assert.match(message, /policy\.plans\.p/);
  assert.deepEqual(await (await opened()).valid(), [true, '']);
});

test('an answer is true or false, or the decision', async () => {
  const limitr = await opened();
  assert.equal(await limitr.allow('ann', 'chat', 10), true);
  assert.equal(await limitr.allow('ann', 'chat', 991), false);
  assert.equal((await limitr.check('ann', 'chat', 991, { detail: true })).reason, 'limit');
  const decision = await limitr.decide('ann', 'chat', 5, false);
  assert.deepEqual([decision.allowed, decision.value, decision.remaining], [true, 15, 985]);
  assert.equal(await limitr.set('ann', 'chat', 100), true);
  assert.equal(await limitr.increment('ann', 'chat'), true);
  assert.equal(await limitr.decrement('ann', 'chat'), true);
  assert.equal(await limitr.checkIncrement('ann', 'chat'), true);
  assert.equal(await limitr.checkDecrement('ann', 'feature'), false);
  assert.equal(await limitr.value('ann', 'chat'), 100);
  const many = await limitr.allowMany([
    { id: 'ann', entitlement: 'chat', value: 1 }, { id: 'bob', entitlement: 'chat' }]);
  assert.deepEqual(many.map((one) => [one.allowed, one.reason]),
                   [[true, null], [false, 'unknown_customer']]);
});

test('options stand by place or by name', async () => {
  const limitr = await opened();
  const seen = [];
  await limitr.addHandler('see', (key, value) => seen.push(value.event_data));
  await limitr.allow('ann', 'chat', 1, { job: 7 });
  await limitr.allow('ann', 'chat', 1, true, 0.25, false, { context: { job: 8 } });
  await limitr.allow('ann', 'chat', 1, { event: { request: 'mine' } });
  await limitr.allow('ann', 'chat', 1, { event: false });
  assert.deepEqual(seen, [{ job: 7 }, { job: 8 }, { request: 'mine' }]);
  assert.equal(await limitr.allow('ann', 'chat', 9, { request: 'r1' }), true);
  assert.equal((await limitr.decide('ann', 'chat', 9, { request: 'r1' })).repeated, true);
  assert.equal(await limitr.allow('ann', 'chat', 9, { cap: { rune: 1 } }), false);
  assert.equal(await limitr.createCustomer('bob', { plan: 'free', metadata: { a: [1] } }), true);
  assert.deepEqual(await limitr.customerMetadata('bob'), { a: [1] });
  assert.equal(await limitr.createCustomerOverride('bob', 'chat', 20, new Date(Date.now() + 1e6)), true);
  assert.equal(await limitr.createCustomerOverride('bob', 'chat', { value: 30, resetInc: '1day' }), true);
  assert.equal(await limitr.limit('bob', 'chat'), 30);
});

test('what is not there is undefined, and null for what could not be made', async () => {
  const limitr = await opened();
  assert.equal(await limitr.customer('nobody'), undefined);
  assert.equal(await limitr.value('nobody', 'chat'), undefined);
  assert.equal(await limitr.reserve('ann', 'chat', { value: 2000 }), null);
  const cap = await limitr.addCustomerCap('ann', 5, { cap_id: 'monthly', send_events: false });
  assert.deepEqual([cap.id, cap.value], ['monthly', 5]);
  assert.equal(await limitr.addCustomerCap('ann', 5, { cap_id: 'monthly' }), null);
});

test('an argument of the wrong kind is a TypeError that names it', async () => {
  const limitr = await opened();
  const refused = [
    [() => limitr.allow(5, 'chat'), /^id: expected a text, found number 5$/],
    [() => limitr.allow('ann'), /^entitlement: expected a text, found nothing$/],
    [() => limitr.allow('ann', 'chat', []), /^value: expected a number, or a text/],
    [() => limitr.setCustomerRefs('ann', [1]), /^refs: expected a list of texts/],
    [() => limitr.value('ann', 'chat', 'yes'), /^percent: expected true or false/],
    [() => limitr.addCustomerCap('ann', 5, { celling: 1 }), /^celling: there is no such option/],
    [() => limitr.release('ann', 'chat', 'h', {}, 5), /unexpected argument/],
    [() => limitr.addHandler('x', 5), /^handler: expected a function/],
    [() => Limitr.new(5), /^policy: expected a text or an object/],
    [() => Limitr.cloud(), /^options: expected an object, found undefined undefined/],
    [() => Limitr.cloud({ token: 'x', onError: 5 }), /^onError: expected a function/],
    [() => Limitr.open(policy, { clock: Date }), /^clock: expected a ManualClock/],
    [() => Limitr.open(policy, { host: { rates: { usd: 5 } } }), /^host\.rates\.usd: expected a function/],
  ];
  for (const [call, message] of refused) await assert.rejects(call, { name: 'TypeError', message });
});

test('what the engine refuses is a LimitrError, and changes nothing', async () => {
  const limitr = await opened();
  const refused = [
    [() => limitr.allow('ann', 'chat', NaN), 'invalid_value'],
    [() => limitr.allow('ann', 'chat', Infinity, { force: true }), 'invalid_value'],
    [() => limitr.allow('ann', 'chat', '2 parsecs'), 'invalid_value'],
    [() => limitr.setPlan('pro', { entitlements: 5 }), 'policy_invalid'],
    [() => limitr.setCustomer('{'), 'record_invalid'],
    [() => Limitr.open(policy, { store: 'ftp://x' }), 'invalid_argument'],
    [() => Limitr.open(policy, { spore: 'x' }), 'invalid_argument'],
    [() => Limitr.openStored({}), 'invalid_argument'],
    [() => Limitr.cloud({ token: 'x', room: 2 }), 'invalid_argument'],
    [() => Limitr.cloud({ token: 'x', store: 'sqlite:x.db' }), 'invalid_argument'],
    [() => Limitr.cloud({ token: 'x', address: '4242' }), 'invalid_argument'],
  ];
  for (const [call, code] of refused) await assert.rejects(call, { name: 'LimitrError', code });
  assert.equal(await limitr.value('ann', 'chat'), 0);
});

test('texts cross unharmed: long, of other scripts, with zeros', async () => {
  const limitr = await Limitr.new(policy);
  for (const id of ['é'.repeat(126), 'x'.repeat(255), 'x'.repeat(5000), '顧客', 'a\0b', '😀']) {
    assert.equal(await limitr.ensureCustomer(id), true);
    assert.equal(await limitr.allow(id, 'chat', 2), true);
    assert.equal(await limitr.check(id, 'chat', 2), true);
    assert.equal((await limitr.customers())[id].meters.chat.value, 2);
  }
});

test('an ID that comes to name another customer does so for every call', async () => {
  const limitr = await opened();
  await limitr.ensureCustomer('bob', 'pro');
  await limitr.addAltID('ann', 'shared');
  await limitr.allow('shared', 'chat', 1);
  await limitr.removeAltID('shared');
  assert.equal(await limitr.allow('shared', 'chat', 1), false);
  await limitr.addAltID('bob', 'shared');
  await limitr.allow('shared', 'chat', 5);
  await limitr.removeCustomer('ann');
  assert.equal(await limitr.allow('ann', 'chat', 1), false);
  await limitr.addAltID('bob', 'ann');
  await limitr.allow('ann', 'chat', 7);
  assert.equal(await limitr.value('bob', 'chat'), 12);
  await limitr.loadCustomers([{ ...(await limitr.customer('bob')), id: 'carl', alt_ids: [] }]);
  assert.equal(await limitr.allow('carl', 'chat', 1), true);
  assert.equal(await limitr.value('carl', 'chat'), 13);
});

test('more customers than are known by a handle are called all the same', async () => {
  const limitr = await Limitr.new(policy);
  const count = 50_010;
  for (let i = 0; i < count; ++i) await limitr.ensureCustomer(`c${i}`);
  let allowed = 0;
  for (let i = 0; i < count; ++i) allowed += (await limitr.allow(`c${i}`, 'chat', i % 1100)) ? 1 : 0;
  assert.equal(allowed, Array.from({ length: count }, (_, i) => i % 1100).filter((x) => x <= 1000).length);
  assert.equal(await limitr.value(`c${count - 1}`, 'chat'), (count - 1) % 1100);
});

test('another policy counts from the next call on', async () => {
  const limitr = await opened();
  await limitr.allow('ann', 'chat', 10);
  assert.deepEqual(await limitr.difference(policy), []);
  const lower = structuredClone(policy);
  lower.policy.plans.pro.entitlements.chat.limit.value = 10;
  delete lower.policy.plans.pro.entitlements.lookup;
  const found = await limitr.difference(lower);
  assert.ok(found.some((one) => one.path.endsWith('chat.limit.value') && one.after === 10));
  await limitr.allow('ann', 'lookup', 1);
  await limitr.setPolicy(lower);
  assert.equal(await limitr.allow('ann', 'chat', 1), false);
  assert.equal(await limitr.allow('ann', 'lookup', 1), false);
});

test('a snapshot is a plain object that loads again', async () => {
  const limitr = await opened();
  await limitr.allow('ann', 'chat', 10);
  const stored = JSON.stringify(await limitr.customers());
  const again = await Limitr.new(policy);
  assert.deepEqual(await again.loadCustomers(JSON.parse(stored)), { loaded: 1, refused: [], unmapped: [] });
  assert.equal(JSON.stringify(await again.customers()), stored);
  const list = await Limitr.new(policy);
  assert.equal((await list.loadCustomers(Object.values(JSON.parse(stored)))).loaded, 1);
  const state = await Limitr.new(policy);
  assert.equal((await state.importState(await limitr.exportState())).loaded, 1);
  assert.deepEqual(await state.fsck(), []);
  assert.equal(await state.value('ann', 'chat'), 10);
});

test('time is what the clock says', async () => {
  const clock = new ManualClock(1_000_000);
  const limitr = await opened({ clock });
  assert.equal((await limitr.customer('ann')).meters.chat.started, 1_000_000);
  clock.set(clock.get() + 5);
  await limitr.ensureCustomer('bob');
  assert.equal((await limitr.customer('bob')).meters.chat.started, 1_000_005);
});

test('engines do not see each other', async () => {
  const [one, other] = [await opened(), await opened()];
  await one.allow('ann', 'chat', 10);
  assert.equal(await other.value('ann', 'chat'), 0);
});

test('require and import give the same', async () => {
  const required = createRequire(import.meta.url)('../lib/index.cjs');
  assert.equal(required.Limitr, Limitr);
  assert.equal(required.default, Limitr);
  assert.equal(required.version, version);
  assert.match(version, /^\d+\.\d+\.\d+$/);
  assert.equal((await import('@formata/limitr')).Limitr, Limitr);
});
