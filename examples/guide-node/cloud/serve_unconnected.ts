// SPDX-License-Identifier: Apache-2.0
// Goes on serving everybody while there is no connection, at the risk of passing limits.
import { Limitr } from '@formata/limitr';

import { routes } from '../routes.js';

const policy = await Limitr.cloud({
  token: process.env.LIMITR_TOKEN, address: process.env.LIMITR_ADDRESS, denyUnconnected: false,
});
if (!policy) throw new Error('Cloud connection failed');

const app = routes(policy);
app.listen(process.env.PORT ?? 3000);
