// SPDX-License-Identifier: Apache-2.0
// Open is restored.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';

import { routes } from '../routes.js';

const policy = await Limitr.open(readFileSync('./policy.yaml', 'utf-8'), { store: 'file:customers.json' });

const app = routes(policy);
app.listen(process.env.PORT ?? 3000);
