// SPDX-License-Identifier: Apache-2.0
// Another policy after a deployment: state is resolved against the policy of today.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';

import { db } from '../files.js';
import { routes } from '../routes.js';

const policy = await Limitr.new(readFileSync('./policy.yaml', 'utf-8'), 'yaml');

const stored = await db.get('limitr:customers');
if (stored) {
  const { unmapped } = await policy.loadCustomers(JSON.parse(stored));
  for (const { customer, entitlement } of unmapped) {
    console.log(`${customer} has used ${entitlement}, which the policy does not have`);
  }
}

policy.addHandler('persist', async (key: string) => {
  if (key === 'meter-changed') {
    const snapshot = await policy.customers();
    await db.set('limitr:customers', JSON.stringify(snapshot));
  }
});

routes(policy).listen(process.env.PORT ?? 3000);
