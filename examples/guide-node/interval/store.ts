// SPDX-License-Identifier: Apache-2.0
// What has changed is written every ten seconds: that much is lost when the process is killed.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';

import { routes } from '../routes.js';

const policy = await Limitr.open(readFileSync('./policy.yaml', 'utf-8'), {
  store: 'sqlite:limitr.db', durability: 'interval', writeInterval: Number(process.env.SAVE_EVERY ?? 10_000),
});

routes(policy).listen(process.env.PORT ?? 3000);
