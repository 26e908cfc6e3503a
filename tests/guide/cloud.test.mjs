// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import { Service } from './program.mjs';
import { startCloud, startPostgres } from './servers.mjs';

test('start: nothing is restored, and nothing that was answered is lost', async (context) => {
  const { environment } = await startCloud(context);
  const service = new Service(context, 'cloud/start.ts', environment);
  const other = new Service(context, 'cloud/start.ts', environment);
  await Promise.all([service.start(), other.start()]);
  for (let i = 0; i < 2; ++i) {
    await service.use('ann', 'ai_tokens', 100_000);
    await other.use('ann', 'ai_tokens', 100_000);
  }
  await service.kill();
  assert.deepEqual(await other.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
  await service.start();
  assert.deepEqual(await service.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
});

test('start: without a server the program says so and ends', async (context) => {
  const { server, environment } = await startCloud(context);
  await server.kill();
  const service = new Service(context, 'cloud/start.ts', environment);
  await assert.rejects(service.start());
  assert.match(service.output, /limitr: there is no engine of the Cloud server: .*\(unconnected\)/);
  assert.match(service.output, /Cloud connection failed/);
});

test('warm: a thousand customers are there before the first request', async (context) => {
  const { environment } = await startCloud(context);
  const { url, client } = await startPostgres(context);
  await client.query('CREATE TABLE customers (id text PRIMARY KEY, plan text, active boolean)');
  await client.query("INSERT INTO customers SELECT 'c' || n, 'starter', n <= 1000 FROM generate_series(1, 1100) n");
  const settings = { ...environment, DATABASE_URL: url };
  const first = new Service(context, 'cloud/warm.ts', settings);
  await first.start();
  assert.match(first.output, /1000 customers are warm/);
  assert.deepEqual(await first.use('c1000', 'ai_tokens', 400_000), { allowed: true, used: 400_000 });
  const second = new Service(context, 'cloud/warm.ts', settings);
  await second.start();
  assert.match(second.output, /1000 customers are warm/);
  assert.deepEqual(await second.use('c1000', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
  assert.equal(await second.customer('c1100'), null);
});
