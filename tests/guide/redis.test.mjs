// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import { Service, comesTrue } from './program.mjs';
import { startRedis } from './servers.mjs';

test('guide: the snapshot in Redis is there after kill -9', async (context) => {
  const { url, client } = await startRedis(context);
  const service = new Service(context, 'redis/guide.ts', { REDIS_URL: url });
  await service.start();
  for (let i = 0; i < 4; ++i) await service.use('ann', 'ai_tokens', 100_000);
  await comesTrue('it is in Redis', async () => {
    const snapshot = JSON.parse(await client.get('limitr:customers'));
    return snapshot?.ann.meters.ai_tokens.value === 400_000;
  });
  await service.restart();
  assert.match(service.output, /Customer state restored/);
  assert.deepEqual(await service.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
});

test('store: what was answered is in Redis after kill -9, also for others', async (context) => {
  const { url } = await startRedis(context);
  const service = new Service(context, 'redis/store.ts', { REDIS_URL: url });
  const other = new Service(context, 'redis/store.ts', { REDIS_URL: url });
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
