// SPDX-License-Identifier: Apache-2.0
// Nothing is restored: the server has it all. Without a connection what the server has to be asked for is denied.
import { Limitr } from '@formata/limitr';

import { routes } from '../routes.js';

const policy = await Limitr.cloud({ token: process.env.LIMITR_TOKEN, address: process.env.LIMITR_ADDRESS });
if (!policy) throw new Error('Cloud connection failed');

// ensureCustomer() loads each customer on first access.
const app = routes(policy);
app.listen(process.env.PORT ?? 3000);
