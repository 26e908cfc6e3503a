// SPDX-License-Identifier: Apache-2.0
// Redis as the store: a key for each customer, and only those are written that have changed. Any number of
// these processes may run at the same time.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';

import { routes } from '../routes.js';

const policy = await Limitr.open(readFileSync('./policy.yaml', 'utf-8'), {
  store: process.env.REDIS_URL ?? 'redis://localhost:6379', shared: true,
});

routes(policy).listen(process.env.PORT ?? 3000);
