// SPDX-License-Identifier: Apache-2.0
// What a request changed is in the store before it is answered: nothing is lost.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';

import { routes } from '../routes.js';

const policy = await Limitr.open(readFileSync('./policy.yaml', 'utf-8'), { store: 'sqlite:limitr.db' });

routes(policy).listen(process.env.PORT ?? 3000);
