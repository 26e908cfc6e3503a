// SPDX-License-Identifier: Apache-2.0
// All state is saved every ten seconds: that much is lost when the process is killed.
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

setInterval(async () => {
  const snapshot = await policy.customers();
  await db.set('limitr:customers', JSON.stringify(snapshot));
}, Number(process.env.SAVE_EVERY ?? 10_000));

routes(policy).listen(process.env.PORT ?? 3000);
