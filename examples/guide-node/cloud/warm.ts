// SPDX-License-Identifier: Apache-2.0
// Customers that will be busy are there before anybody asks for them.
import { Limitr } from '@formata/limitr';
import pg from 'pg';

import { routes } from '../routes.js';

const db = new pg.Client({ connectionString: process.env.DATABASE_URL });
await db.connect();

const policy = await Limitr.cloud({ token: process.env.LIMITR_TOKEN, address: process.env.LIMITR_ADDRESS });
if (!policy) throw new Error('Cloud connection failed');

const activeCustomers = await db.query(
  'SELECT id, plan FROM customers WHERE active = true LIMIT 1000'
);
await Promise.all(
  activeCustomers.rows.map(row => policy.ensureCustomer(row.id, row.plan))
);
console.log(`${activeCustomers.rows.length} customers are warm`);

const app = routes(policy);
app.listen(process.env.PORT ?? 3000);
