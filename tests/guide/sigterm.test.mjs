// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import { Service } from './program.mjs';

test('guide: nothing is saved until it is asked to end; then everything is', async (context) => {
  const service = new Service(context, 'sigterm/guide.ts');
  await service.start();
  await service.use('ann', 'ai_tokens', 400_000);
  assert.equal(service.saved('ann', 'ai_tokens'), undefined);
  assert.equal(await service.terminate(), 0);
  await service.start();
  assert.match(service.output, /Customer state restored/);
  assert.deepEqual(await service.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
});

test('store: nobody has to ask', async (context) => {
  const service = new Service(context, 'sigterm/store.ts');
  await service.start();
  await service.use('ann', 'ai_tokens', 300_000);
  await service.terminate();
  await service.start();
  assert.deepEqual(await service.use('ann', 'ai_tokens', 100_000), { allowed: true, used: 400_000 });
  await service.restart();
  assert.deepEqual(await service.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
});
