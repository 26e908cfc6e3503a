// SPDX-License-Identifier: Apache-2.0
// Each request makes sure of its customer; one that is new is set up, once.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';
import express from 'express';

import { routes } from '../routes.js';

const policy = await Limitr.open(readFileSync('./policy.yaml', 'utf-8'), { store: 'sqlite:limitr.db' });

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
