// SPDX-License-Identifier: Apache-2.0
import type { Limitr } from '@formata/limitr';
import express, { type Express } from 'express';

/** What the service offers: use of what the plan has, and a look at a customer. */
export function routes(policy: Limitr): Express {
  const app = express();

  app.post('/:userId/:entitlement/:value', async (req, res) => {
    const { userId, entitlement, value } = req.params;
    // Safe on every request: does nothing for a customer that is there.
    await policy.ensureCustomer(userId, 'starter');
    const allowed = await policy.allow(userId, entitlement, Number(value));
    // An engine of a Cloud server that has no connection may have nothing to read it from.
    const used = await policy.value(userId, entitlement).catch(() => undefined);
    res.status(allowed ? 200 : 429).json({ allowed, used });
  });

  app.get('/:userId', async (req, res) => {
    res.json((await policy.customer(req.params.userId)) ?? null);
  });

  return app;
}
