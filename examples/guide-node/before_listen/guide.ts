// SPDX-License-Identifier: Apache-2.0
// Restored before the first request: nobody is ever answered from nothing.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';

import { db } from '../files.js';
import { routes } from '../routes.js';

const policy = await Limitr.new(readFileSync('./policy.yaml', 'utf-8'), 'yaml');

// Restored before anybody is served.
const stored = await db.get('limitr:customers');
if (stored) {
  await policy.loadCustomers(JSON.parse(stored));
  console.log('Customer state restored');
}

policy.addHandler('persist', async (key: string) => {
  if (key === 'meter-changed') {
    const snapshot = await policy.customers();
    await db.set('limitr:customers', JSON.stringify(snapshot));
  }
});

const app = routes(policy);
app.listen(process.env.PORT ?? 3000);
