// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import { Service, comesTrue } from './program.mjs';
import { startPostgres } from './servers.mjs';

test('PostgreSQL keeps state', async (context) => {
  const { url, client } = await startPostgres(context);

  await context.test('guide: the row of limitr_state is there after kill -9', async (inner) => {
    const service = new Service(inner, 'postgres/guide.ts', { DATABASE_URL: url });
    await service.start();
    for (let i = 0; i < 4; ++i) await service.use('ann', 'ai_tokens', 100_000);
    await comesTrue('it is in the table', async () => {
      const { rows } = await client.query("SELECT value FROM limitr_state WHERE key = 'customers'");
      return rows[0]?.value.ann.meters.ai_tokens.value === 400_000;
    });
    await service.restart();
    assert.match(service.output, /Customer state restored/);
    assert.deepEqual(await service.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
    const { rows } = await client.query('SELECT key FROM limitr_state');
    assert.deepEqual(rows, [{ key: 'customers' }]);
  });

  await context.test('store: what was answered is there after kill -9', async (inner) => {
    const service = new Service(inner, 'postgres/store.ts', { DATABASE_URL: url });
    await service.start();
    for (let i = 0; i < 4; ++i) await service.use('ann', 'ai_tokens', 100_000);
    await service.restart();
    assert.deepEqual(await service.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
  });
});
