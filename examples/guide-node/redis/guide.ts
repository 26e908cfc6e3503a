// SPDX-License-Identifier: Apache-2.0
// Snapshots in Redis, under one key.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';
import { createClient } from 'redis';

import { routes } from '../routes.js';

const redis = createClient({ url: process.env.REDIS_URL });
redis.on('error', (error) => console.error(error));  // It connects again by itself.
await redis.connect();

const policy = await Limitr.new(readFileSync('./policy.yaml', 'utf-8'), 'yaml');

const stored = await redis.get('limitr:customers');
if (stored) {
  await policy.loadCustomers(JSON.parse(stored));
  console.log('Customer state restored');
}

policy.addHandler('persist', async (key: string) => {
  if (key === 'meter-changed') {
    const snapshot = await policy.customers();
    await redis.set('limitr:customers', JSON.stringify(snapshot));
  }
});

routes(policy).listen(process.env.PORT ?? 3000);
