// SPDX-License-Identifier: Apache-2.0
// Engines with a store: what is safe when, in which order, and who waits for whom.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Limitr } from '../lib/index.mjs';
import { hostedPolicy, policy, runText, temporaryFolder } from './policy.mjs';

function sqlite(context) {
  return `sqlite:${path.join(temporaryFolder(context), 'limitr.db')}`;
}

test('what was done is there when the store is opened again', async (context) => {
  const store = sqlite(context);
  const limitr = await Limitr.open(policy, { store });
  assert.equal(await limitr.ensureCustomer('ann'), true);
  assert.equal(await limitr.allow('ann', 'chat', 7), true);
  assert.equal(await limitr.allow('ann', 'chat', 5000), false);
  await limitr.flush();
  assert.equal(typeof (await limitr.close()), 'number');
  const again = await Limitr.open(policy, { store });
  assert.equal(await again.ensureCustomer('ann'), false);
  assert.equal(await again.value('ann', 'chat'), 7);
  await again.close();
  const stored = await Limitr.openStored({ store });
  assert.equal(await stored.limit('ann', 'chat'), 1000);
  assert.equal((await stored.customers()).ann.meters.chat.value, 7);
  await stored.close();
});

test('calls are applied in the order in which they were made', async (context) => {
  const limitr = await Limitr.open(policy, { store: sqlite(context) });
  const answers = [];
  const add = (promise) => answers.push(promise);
  add(limitr.allow('ann', 'chat', 1));
  add(limitr.ensureCustomer('ann', 'free'));
  for (let i = 0; i < 100; ++i) {
    add(limitr.allow('ann', 'chat', 1));
    add(limitr.value('ann', 'chat'));
    add(limitr.set('ann', 'chat', 0));
  }
  add(limitr.setCustomerPlan('ann', 'pro'));
  add(limitr.allow('ann', 'chat', 900));
  add(limitr.customers());
  const [first, created, ...rest] = await Promise.all(answers);
  assert.deepEqual([first, created], [false, true]);
  for (let i = 0; i < 300; i += 3) assert.deepEqual(rest.slice(i, i + 3), [true, 1, true]);
  assert.deepEqual(rest.slice(300, 302), [true, true]);
  assert.equal(rest[302].ann.meters.chat.value, 900);
  await limitr.close();
});

test('events come in order, each before its call is answered', async (context) => {
  const limitr = await Limitr.open(policy, { store: sqlite(context) });
  await limitr.ensureCustomer('ann');
  const seen = [];
  await limitr.addHandler('see', (key, value) => seen.push(value.meter.value));
  const calls = [];
  for (let i = 1; i <= 50; ++i) {
    calls.push(limitr.allow('ann', 'chat', 1).then(() => assert.ok(seen.includes(i))));
  }
  await Promise.all(calls);
  assert.deepEqual(seen, Array.from({ length: 50 }, (_, i) => i + 1));
  await limitr.close();
});

test('a handler may call the engine', async (context) => {
  const limitr = await Limitr.open(policy, { store: sqlite(context) });
  await limitr.ensureCustomer('ann');
  const saved = new Promise((resolve) => {
    limitr.addHandler('save', async (key) => {
      if (key === 'meter-changed') resolve(await limitr.customers());
    });
  });
  await limitr.allow('ann', 'chat', 3);
  assert.equal((await saved).ann.meters.chat.value, 3);
  await limitr.close();
});

test('host functions are called on this thread while the engine waits', async (context) => {
  for (const options of [{}, { store: sqlite(context) }]) {
    const asked = [];
    const log = [];
    const limitr = await Limitr.open(hostedPolicy, {
      ...options,
      log: (message) => log.push(message),
      host: {
        overhead: {
          cost: (units, data) => {
            asked.push([units, data]);
            if (data?.fail) throw new Error('no price today');
            return units * 3;
          },
        },
        notifications: { isLarge: (key, value) => value.meter.diff > 5 },
      },
    });
    await limitr.ensureCustomer('ann');
    const keys = [];
    await limitr.addHandler('see', (key) => keys.push(key));
    assert.equal((await limitr.decide('ann', 'lookup', 2, { a: 1 })).overhead, 6);
    assert.equal(await limitr.allow('ann', 'lookup', 10), true);
    assert.equal((await limitr.decide('ann', 'lookup', 4, { fail: true })).overhead, 2);
    assert.deepEqual(asked, [[2, { a: 1 }], [10, null], [4, { fail: true }]]);
    assert.deepEqual(keys, ['meter-changed', 'meter-changed', 'large', 'meter-changed']);
    await limitr.close();
    assert.ok(log.some((message) => message.includes('no price today')), log.join('\n'));
  }
});

test('an engine that is let go of still answers', async (context) => {
  const { code, output } = await runText(`
    async function made() {
      const limitr = await Limitr.open(policy, { store: ${JSON.stringify(sqlite(context))} });
      return [limitr.ensureCustomer('ann'),
              ...Array.from({ length: 200 }, () => limitr.allow('ann', 'chat', 1))];
    }
    const calls = await made();
    gc();
    console.log((await Promise.all(calls)).every((answer) => answer === true));
  `, {}, ['--expose-gc']);
  assert.deepEqual([code, output], [0, 'true\n']);
});

test('every call whose promise resolved survives kill -9', async (context) => {
  const store = sqlite(context);
  let last = 0;
  const { signal } = await runText(`
    const limitr = await Limitr.open(policy, { store: ${JSON.stringify(store)} });
    await limitr.ensureCustomer('ann');
    for (;;) {
      await Promise.all(Array.from({ length: 5 }, () => limitr.allow('ann', 'chat', 1)));
      const value = await limitr.value('ann', 'chat');
      process.stdout.write(value + '\\n');
    }`, {
    see: (output, child) => {
      const lines = output.split('\n').slice(0, -1);
      last = Number(lines.at(-1) ?? 0);
      if (last >= 200) child.kill('SIGKILL');
    },
  });
  assert.equal(signal, 'SIGKILL');
  const limitr = await Limitr.open(policy, { store });
  assert.ok(last >= 200);
  assert.ok((await limitr.value('ann', 'chat')) >= last);
  await limitr.close();
});

test('no call keeps the event loop waiting for its store', async (context) => {
  const socket = path.join(temporaryFolder(context), 'redis.sock');
  const server = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no']);
  context.after(() => server.kill('SIGKILL'));
  await new Promise((resolve) => {
    server.stdout.on('data', (data) => String(data).includes('eady to accept') && resolve());
  });
  const limitr = await Limitr.open(policy, {
    store: `redis:///0?socket=${socket}`, acceptWeaker: true, storeTimeout: 60_000, log() {},
  });
  await limitr.ensureCustomer('ann');
  server.kill('SIGSTOP');
  let answered = false;
  const calls = [limitr.allow('ann', 'chat', 1), limitr.value('ann', 'chat'), limitr.flush()];
  const all = Promise.all(calls).then((answers) => {
    answered = true;
    return answers;
  });
  const closed = limitr.close();
  for (let i = 0; i < 20; ++i) await sleep(1);
  assert.equal(answered, false);
  server.kill('SIGCONT');
  assert.deepEqual(await all, [true, 1, undefined]);
  await closed;
});
