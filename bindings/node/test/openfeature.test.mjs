// SPDX-License-Identifier: Apache-2.0
// The provider, through the SDK of OpenFeature.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';

import { OpenFeature } from '@openfeature/server-sdk';

import { Limitr } from '@formata/limitr';
import { LimitrProvider } from '@formata/limitr/openfeature';
import { temporaryFolder } from './policy.mjs';

const policy = {
  policy: {
    credits: { token: {} },
    plans: {
      free: {
        default: true,
        entitlements: {
          chat: { limit: { credit: 'token', value: 10 } },
          search: { limit: { credit: 'token', value: 5, mode: 'soft' } },
          theme: {},
        },
      },
      pro: { entitlements: { export: {} } },
    },
  },
};

let domains = 0;

/** A client of the SDK for an engine; evaluations are for `ann` unless told otherwise. */
async function clientOf(limitr) {
  domains += 1;
  const domain = `test ${domains}`;
  await OpenFeature.setProviderAndWait(domain, new LimitrProvider(limitr));
  return OpenFeature.getClient(domain, { targetingKey: 'ann' });
}

async function opened(options) {
  const limitr = await Limitr.open(policy, options);
  await limitr.ensureCustomer('ann');
  return limitr;
}

function outcome({ value, reason, errorCode }) {
  return [value, reason, errorCode];
}

test('a flag is whether the customer may use the entitlement', async () => {
  const limitr = await opened();
  await limitr.createCustomer('bob', 'pro');
  const client = await clientOf(limitr);
  assert.equal(await client.getBooleanValue('theme', false), true);
  assert.equal(await client.getBooleanValue('export', true), false);
  assert.equal(await client.getBooleanValue('export', false, { targetingKey: 'bob' }), true);
  const details = await client.getBooleanDetails('export', true);
  assert.deepEqual(outcome(details), [false, 'TARGETING_MATCH', undefined]);
  assert.deepEqual(details.flagMetadata, { denied: 'unknown_entitlement' });
  const stranger = await client.getBooleanDetails('theme', true, { targetingKey: 'nobody' });
  assert.deepEqual([stranger.value, stranger.flagMetadata], [false, { denied: 'unknown_customer' }]);
});

test('a number is what is left, a text the mode, an object the decision', async () => {
  const limitr = await opened();
  const client = await clientOf(limitr);
  await limitr.allow('ann', 'chat', 4);
  assert.deepEqual(outcome(await client.getNumberDetails('chat', -1)), [6, 'TARGETING_MATCH', undefined]);
  assert.deepEqual(outcome(await client.getStringDetails('chat', '')), ['hard', 'TARGETING_MATCH', undefined]);
  assert.equal(await client.getStringValue('search', ''), 'soft');
  const { value, reason } = await client.getObjectDetails('chat', {});
  assert.deepEqual([value.allowed, value.value, value.remaining, reason], [true, 4, 6, 'TARGETING_MATCH']);
  const lacking = await client.getObjectValue('export', {});
  assert.deepEqual([lacking.allowed, lacking.reason], [false, 'unknown_entitlement']);
  assert.equal(await limitr.value('ann', 'chat'), 4);
});

test('what cannot be evaluated gives the default, and says why', async () => {
  const client = await clientOf(await opened());
  const nobody = { targetingKey: 'nobody' };
  const cases = [
    ['no plan has it', client.getBooleanDetails('nothing', true), true, 'FLAG_NOT_FOUND'],
    ['no plan has it, whoever asks', client.getBooleanDetails('nothing', true, nobody), true, 'FLAG_NOT_FOUND'],
    ['it has no limit', client.getNumberDetails('theme', 7), 7, 'TYPE_MISMATCH'],
    ['it has no limit', client.getStringDetails('theme', 'x'), 'x', 'TYPE_MISMATCH'],
    ['the plan does not have it', client.getNumberDetails('export', 7), 7, 'FLAG_NOT_FOUND'],
    ['nobody has that ID', client.getNumberDetails('chat', 7, nobody), 7, 'INVALID_CONTEXT'],
    ['an empty key is none', client.getBooleanDetails('theme', true, { targetingKey: '' }), true,
     'TARGETING_KEY_MISSING'],
  ];
  for (const [why, details, value, code] of cases) {
    assert.deepEqual(outcome(await details), [value, 'ERROR', code], why);
  }
  const keyless = OpenFeature.getClient(`test ${domains}`);
  assert.deepEqual(outcome(await keyless.getBooleanDetails('theme', false)),
                   [false, 'ERROR', 'TARGETING_KEY_MISSING']);
});

test('what the engine cannot answer is a general error', async (context) => {
  const limitr = await opened({ store: `sqlite:${path.join(temporaryFolder(context), 'l.db')}` });
  const client = await clientOf(limitr);
  await limitr.close();
  const details = await client.getBooleanDetails('theme', true, { targetingKey: 'unread' });
  assert.deepEqual(outcome(details), [true, 'ERROR', 'GENERAL']);
  assert.match(details.errorMessage, /is not open/);
});

test('it is required as well as imported', () => {
  const required = createRequire(import.meta.url)('@formata/limitr/openfeature');
  assert.equal(required.LimitrProvider, LimitrProvider);
  assert.throws(() => new LimitrProvider({}), { name: 'TypeError' });
});
