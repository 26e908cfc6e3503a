// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import { Service, comesTrue } from './program.mjs';

test('guide: what was saved on a change is there after kill -9', async (context) => {
  const service = new Service(context, 'on_every_change/guide.ts');
  await service.start();
  for (const [customer, value] of [['ann', 300_000], ['bob', 5], ['ann', 100_000]]) {
    assert.equal((await service.use(customer, 'ai_tokens', value)).allowed, true);
  }
  await comesTrue('it is saved', () => service.saved('ann', 'ai_tokens') === 400_000);
  const before = [await service.customer('ann'), await service.customer('bob')];
  await service.restart();
  assert.match(service.output, /Customer state restored/);
  assert.deepEqual([await service.customer('ann'), await service.customer('bob')], before);
  assert.deepEqual(await service.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
  assert.deepEqual(await service.use('ann', 'ai_tokens', 100_000), { allowed: true, used: 500_000 });
});

test('store: what was answered is there after kill -9', async (context) => {
  const service = new Service(context, 'on_every_change/store.ts');
  await service.start();
  for (let used = 50_000; used <= 400_000; used += 50_000) {
    assert.deepEqual(await service.use('ann', 'ai_tokens', 50_000), { allowed: true, used });
  }
  const before = await service.customer('ann');
  await service.restart();
  assert.deepEqual(await service.customer('ann'), before);
  assert.deepEqual(await service.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
  assert.deepEqual(await service.use('ann', 'ai_tokens', 100_000), { allowed: true, used: 500_000 });
});
