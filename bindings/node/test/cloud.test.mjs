// SPDX-License-Identifier: Apache-2.0
// Engines of a Cloud server, which is a real one.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';

import { Limitr, LimitrError } from '../lib/index.mjs';
import { hostedPolicy, policy, runText } from './policy.mjs';
import { Server } from './server.mjs';

const nowhere = 'http://127.0.0.1:1';

test('engines share customers, limits and the policy', async (context) => {
  const server = await new Server(context).start();
  const one = await Limitr.cloud(server.options);
  const other = await Limitr.cloud(server.options);
  const created = await Promise.all([one.ensureCustomer('ann', 'free'), other.ensureCustomer('ann', 'free')]);
  assert.deepEqual(created.sort(), [false, true]);
  const answers = await Promise.all([one, other, one, other, one].map((engine) => engine.allow('ann', 'chat', 1)));
  assert.equal(answers.filter(Boolean).length, 3);
  assert.equal(await other.value('ann', 'chat'), 3);
  assert.deepEqual((await one.policy()).policy.credits, policy.policy.credits);
  await assert.rejects(one.deletePlan('free'), { name: 'LimitrError', code: 'invalid_argument', message: /server/ });
  await one.close();
  await other.close();
});

test('what was answered is there for the next engine', async (context) => {
  const server = await new Server(context).start();
  const first = await Limitr.cloud(server.options);
  await first.ensureCustomer('ann');
  for (let i = 0; i < 50; ++i) await first.allow('ann', 'chat', 2);
  await first.close();
  await server.terminate();
  await server.start();
  const next = await Limitr.cloud(server.options);
  assert.equal(await next.ensureCustomer('ann'), false);
  assert.equal(await next.value('ann', 'chat'), 100);
  await next.close();
});

test('a new policy comes without a restart', async (context) => {
  const server = await new Server(context).start();
  const limitr = await Limitr.cloud(server.options);
  await limitr.ensureCustomer('ann');
  const changed = new Promise((resolve) => {
    limitr.addHandler('test', (key, value) => { if (key === 'plan-set') resolve(value.plan.name); });
  });
  const next = structuredClone(policy);
  next.policy.plans.pro.entitlements.chat.limit.value = 5;
  server.usePolicy(next);
  assert.equal(await changed, 'pro');
  assert.equal(await limitr.limit('ann', 'chat'), 5);
  await limitr.close();
});

test('host functions run here', async (context) => {
  const server = await new Server(context, hostedPolicy).start();
  const limitr = await Limitr.cloud({ ...server.options, host: {
    overhead: { cost: (units, data) => units * data.price }, notifications: { isLarge: () => false } } });
  await limitr.ensureCustomer('ann');
  assert.equal((await limitr.decide('ann', 'lookup', 3, { price: 4 })).overhead, 12);
  await limitr.close();
});

test('over TLS, with the certificate that is trusted', async (context) => {
  const server = await new Server(context).useTls().start();
  assert.match(server.address, /^https:/);
  const limitr = await Limitr.cloud(server.options);
  assert.equal(await limitr.ensureCustomer('ann'), true);
  assert.equal(await limitr.allow('ann', 'chat', 1), true);
  await limitr.close();
  let failure;
  assert.equal(await Limitr.cloud({ ...server.options, caFile: undefined, connectTimeout: 2000, log: () => {},
    onError: (error) => { failure = error; } }), undefined);
  assert.equal(failure.code, 'unconnected');
  assert.match(failure.message, /certificate/);
});

test('where it cannot connect there is no engine, and why is logged once', async (context) => {
  const server = await new Server(context).start();
  const rows = [
    [{ ...server.options, token: 'mistyped' }, 'unauthorized', /does not accept the token/],
    [{ ...server.options, token: undefined }, 'unauthorized', /does not accept the token/],
    [{ token: 'x', address: nowhere, connectTimeout: 50 }, 'unconnected', /127\.0\.0\.1:1/],
  ];
  for (const [options, code, message] of rows) {
    const logged = [];
    const errors = [];
    const limitr = await Limitr.cloud({
      ...options, log: (line) => logged.push(line), onError: (error) => errors.push(error) });
    assert.equal(limitr, undefined);
    assert.equal(errors.length, 1);
    assert.ok(errors[0] instanceof LimitrError);
    assert.equal(errors[0].code, code);
    assert.match(errors[0].message, message);
    assert.equal(logged.length, 1, logged.join('\n'));
    assert.match(logged[0], message);
  }
});

test('an onError that throws or rejects is logged, and there is no engine either', async () => {
  for (const onError of [() => { throw new Error('oops'); }, async () => { throw new Error('oops'); }]) {
    const logged = [];
    assert.equal(await Limitr.cloud({
      token: 'x', address: nowhere, connectTimeout: 50, onError, log: (line) => logged.push(line) }), undefined);
    assert.match(logged[1], /^onError threw for unconnected: Error: oops/);
  }
});

test('what is wrong with the options rejects', async (context) => {
  const server = await new Server(context).start();
  await assert.rejects(Limitr.cloud({ ...server.options, policy: '9' }), { code: 'invalid_argument' });
  await assert.rejects(
    Limitr.cloud({ ...server.options, caFile: 5 }), { code: 'invalid_argument', where: 'options.ca_file' });
});

test('a local file is one engine\'s until that has closed', async (context) => {
  const server = await new Server(context).start();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'limitr-'));
  context.after(() => fs.rmSync(folder, { recursive: true }));
  const options = { ...server.options, localFile: path.join(folder, 'use') };
  const limitr = await Limitr.cloud(options);
  await assert.rejects(Limitr.cloud(options), { code: 'store_owned', message: /use/ });
  await limitr.close();
  await (await Limitr.cloud(options)).close();
});

test('opening does not hold up the event loop', async (context) => {
  // Which answers from this very thread.
  const server = http.createServer((request, response) => { response.writeHead(401).end('{}'); });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  context.after(() => server.close());
  let failure;
  const address = `http://127.0.0.1:${server.address().port}`;
  await Limitr.cloud({ token: 'x', address, log: () => {}, onError: (error) => { failure = error.code; } });
  assert.equal(failure, 'unauthorized');
});

test('a process that ends says good-bye: what it was home to is free at once', async (context) => {
  const server = await new Server(context).start();
  const { code, output } = await runText(`
    const limitr = await Limitr.cloud(${JSON.stringify(server.options)});
    await limitr.ensureCustomer('ann');
    for (let i = 0; i < 20; ++i) await limitr.allow('ann', 'chat', 1);`);
  assert.equal(code, 0, output);
  const limitr = await Limitr.cloud(server.options);
  assert.equal(await limitr.value('ann', 'chat'), 20);
  assert.equal(await limitr.allow('ann', 'chat', 980), true);
  await limitr.close();
});
