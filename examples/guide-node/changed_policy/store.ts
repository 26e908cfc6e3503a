// SPDX-License-Identifier: Apache-2.0
// Another policy after a deployment: state is resolved against the policy of today.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';

import { routes } from '../routes.js';

const policy = await Limitr.open(readFileSync('./policy.yaml', 'utf-8'), { store: 'sqlite:limitr.db' });

routes(policy).listen(process.env.PORT ?? 3000);
