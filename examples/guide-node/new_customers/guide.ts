// SPDX-License-Identifier: Apache-2.0
// Each request makes sure of its customer; one that is new is set up, once.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';
import express from 'express';

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

const app = express();
app.use('/:userId', async (req, res, next) => {
  const { userId } = req.params;
  const isNew = await policy.ensureCustomer(userId, 'starter');
  if (isNew) {
    await policy.ensureCustomerIncludedTopups(userId);
    await policy.ensureCustomerPlanQuantity(userId);
    console.log(`welcome, ${userId}`);
  }
  next();
});
app.use(routes(policy));
app.listen(process.env.PORT ?? 3000);
