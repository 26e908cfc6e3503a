// SPDX-License-Identifier: Apache-2.0
// Snapshots in PostgreSQL, in one row of one table.
import { Limitr } from '@formata/limitr';
import { readFileSync } from 'fs';
import pg from 'pg';

import { routes } from '../routes.js';

// One connection: of two snapshots the later one arrives last.
const db = new pg.Client({ connectionString: process.env.DATABASE_URL });
await db.connect();
await db.query('CREATE TABLE IF NOT EXISTS limitr_state (key text PRIMARY KEY, value jsonb NOT NULL)');

const policy = await Limitr.new(readFileSync('./policy.yaml', 'utf-8'), 'yaml');

const stored = await db.query('SELECT value FROM limitr_state WHERE key = $1', ['customers']);
if (stored.rows.length > 0) {
  await policy.loadCustomers(stored.rows[0].value);
  console.log('Customer state restored');
}

policy.addHandler('persist', async (key: string) => {
  if (key === 'meter-changed') {
    const snapshot = await policy.customers();
    await db.query(
      'INSERT INTO limitr_state (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2',
      ['customers', JSON.stringify(snapshot)],
    );
  }
});

routes(policy).listen(process.env.PORT ?? 3000);
