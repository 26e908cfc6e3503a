// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { Service, comesTrue } from './program.mjs';

/** What the SQLite file says that ann has used, read as any other program may. */
function written(service) {
  const file = path.join(service.folder, 'limitr.db');
  if (!fs.existsSync(file)) return undefined;
  const read = `import sqlite3
rows = sqlite3.connect('file:${file}?mode=ro', uri=True).execute(
    "SELECT value FROM meters WHERE customer = 'ann' AND entitlement = 'ai_tokens'").fetchall()
print(rows[0][0] if rows else 'none')`;
  const { stdout } = spawnSync('python3', ['-c', read], { encoding: 'utf8' });
  return Number(stdout);
}

const saved = { guide: (service) => service.saved('ann', 'ai_tokens'), store: written };

for (const kind of ['guide', 'store']) {
  test(`${kind}: what an interval has saved is there after kill -9`, async (context) => {
    const service = new Service(context, `interval/${kind}.ts`, { SAVE_EVERY: '20' });
    await service.start();
    await service.use('ann', 'ai_tokens', 400_000);
    await comesTrue('the interval saves it', () => saved[kind](service) === 400_000);
    await service.restart();
    assert.deepEqual(await service.use('ann', 'ai_tokens', 102_000), { allowed: false, used: 400_000 });
    await service.use('ann', 'ai_tokens', 1000);
    await comesTrue('it goes on saving', () => saved[kind](service) === 401_000);
    await service.restart();
    assert.equal((await service.customer('ann')).meters.ai_tokens.value, 401_000);
  });
}
