// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import { Service, comesTrue, requireExample } from './program.mjs';
import { startCloud } from './servers.mjs';

const { Limitr } = requireExample('@formata/limitr');

/** Ends the server, and waits until the service knows: what is on its way till then waits for it. */
async function disconnect(server, service) {
  await server.kill();
  await comesTrue('it has no connection', () => service.output.includes('no connection to the Cloud server'));
}

/** Waits until the server is asked again: a customer that only it has gets its answer. */
function reconnected(service, customer) {
  return comesTrue('it is connected again', async () => {
    const answer = await service.use(customer, 'ai_tokens', 1);
    return answer.allowed && answer;
  });
}

test('start: without a connection only what has room is served', async (context) => {
  const { server, environment } = await startCloud(context);
  const service = new Service(context, 'cloud/start.ts', environment);
  await service.start();
  let used = 0;
  for (let i = 0; i < 20; ++i) used = (await service.use('ann', 'ai_tokens', 1)).used;
  assert.equal(used, 20);
  await disconnect(server, service);

  // ensureCustomer() is false, and allow() denies.
  assert.deepEqual(await service.use('bob', 'ai_tokens', 1), { allowed: false });
  await assert.rejects(service.customer('bob'), /500/);
  // Ann's room lasts a while, and is not passed.
  await comesTrue('her room is used up', async () => {
    const answer = await service.use('ann', 'ai_tokens', 1);
    if (answer.allowed) assert.equal(answer.used, ++used);
    return !answer.allowed;
  });
  assert.ok(used <= 20 + 5000, `${used} were answered without a server: more than 1 % of the limit`);

  await server.start();
  await reconnected(service, 'bob');
  assert.deepEqual(await service.use('ann', 'ai_tokens', 1), { allowed: true, used: used + 1 });
  const other = new Service(context, 'cloud/start.ts', environment);
  await other.start();
  assert.deepEqual(await other.use('ann', 'ai_tokens', 1), { allowed: true, used: used + 2 });
});

test('serve_unconnected: everybody is served, and it all counts afterwards', async (context) => {
  const { server, environment } = await startCloud(context);
  const service = new Service(context, 'cloud/serve_unconnected.ts', environment);
  await service.start();
  for (let i = 0; i < 20; ++i) await service.use('ann', 'ai_tokens', 100);
  await disconnect(server, service);

  assert.deepEqual(await service.use('ann', 'ai_tokens', 100_000), { allowed: true, used: 102_000 });
  // Created here, with the plan that was given.
  assert.deepEqual(await service.use('bob', 'ai_tokens', 300), { allowed: true, used: 300 });
  assert.equal((await service.customer('bob')).plan, 'starter');
  assert.deepEqual(await service.use('bob', 'ai_tokens', 501_000), { allowed: false, used: 300 });

  await server.start();
  const other = new Service(context, 'cloud/start.ts', environment);
  await other.start();
  await comesTrue('it is all there', async () => {
    const { used } = await other.use('bob', 'ai_tokens', 0);
    return used === 300;
  });
  assert.deepEqual(await other.use('ann', 'ai_tokens', 1), { allowed: true, used: 102_001 });
  assert.deepEqual(await service.use('ann', 'ai_tokens', 1), { allowed: true, used: 102_002 });
});

test('start: customers of a process that was killed are known at once', async (context) => {
  const { environment } = await startCloud(context);
  const first = new Service(context, 'cloud/start.ts', environment);
  const next = new Service(context, 'cloud/start.ts', environment);
  await Promise.all([first.start(), next.start()]);
  assert.deepEqual(await first.use('ann', 'ai_tokens', 1), { allowed: true, used: 1 });
  await first.kill();
  // Her room is in doubt until its lease is over; who she is, is not.
  assert.equal((await next.customer('ann')).plan, 'starter');
  await comesTrue('she is served again', () => next.use('ann', 'ai_tokens', 1).then((answer) => answer.allowed, () => false));
});

test('start: a customer that is loaded needs no server', async (context) => {
  const { server, environment } = await startCloud(context);
  const service = new Service(context, 'cloud/start.ts', environment);
  await service.start();
  assert.deepEqual(await service.use('ann', 'ai_tokens', 0), { allowed: true, used: 0 });
  await disconnect(server, service);
  assert.equal((await service.customer('ann')).plan, 'starter');
});

test('without a connection a denial says why', async (context) => {
  const { server } = await startCloud(context);
  const limitr = await Limitr.cloud({ ...server.options, log: () => {} });
  context.after(() => limitr.close().catch(() => {}));  // Nobody is there to hear it.
  await limitr.ensureCustomer('ann', 'starter');
  for (let i = 0; i < 20; ++i) assert.equal(await limitr.allow('ann', 'ai_tokens', 1), true);
  await server.kill();
  assert.equal(await limitr.ensureCustomer('bob', 'starter'), false);
  const bob = await limitr.decide('bob', 'ai_tokens', 1);
  assert.deepEqual([bob.allowed, bob.reason], [false, 'unconnected']);
  const ann = await comesTrue('room or lease is over', async () => {
    const decision = await limitr.decide('ann', 'ai_tokens', 1);
    return !decision.allowed && decision;
  });
  assert.equal(ann.reason, 'unconnected');
});

test('without a connection who has room is served, whatever others ask at the same time', async (context) => {
  const { server } = await startCloud(context);
  const logged = [];
  const limitr = await Limitr.cloud({ ...server.options, log: (line) => logged.push(line) });
  context.after(() => limitr.close().catch(() => {}));
  await limitr.ensureCustomer('ann', 'starter');
  for (let i = 0; i < 200; ++i) await limitr.allow('ann', 'ai_tokens', 10);
  // Before that her room may be used up, to the last token.
  const other = await Limitr.cloud(server.options);
  context.after(() => other.close().catch(() => {}));
  await comesTrue('all is reported', async () => await other.value('ann', 'ai_tokens') === 2000);
  await server.kill();
  await comesTrue('it has no connection', () => logged.some((line) => line.includes('no connection')));
  const answers = await Promise.all(['bob', 'ann', 'ann', 'bob', 'ann'].map((id) => limitr.allow(id, 'ai_tokens', 1)));
  assert.deepEqual(answers, [false, true, true, false, true]);
});
