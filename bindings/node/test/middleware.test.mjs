// SPDX-License-Identifier: Apache-2.0
// The middleware in real servers, asked over HTTP.

import assert from 'node:assert/strict';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';

import express from 'express';
import { fastify } from 'fastify';

import { Limitr, ManualClock, rateLimitHeaders } from '../lib/index.mjs';
import { temporaryFolder } from './policy.mjs';

const NOON = Date.UTC(2026, 2, 1, 12);

const policy = {
  policy: {
    credits: { call: {}, byte: {} },
    plans: {
      free: {
        default: true,
        entitlements: {
          api: { limit: { credit: 'call', value: 2, resets: true, reset_inc: '1min' } },
          burst: { limit: { credit: 'call', value: 100, resets: true, reset_inc: '30days',
                            governor_enabled: true, governor_capacity: 1, governor_refill_rate: 0.001 } },
          total: { limit: { credit: 'call', value: 2.5 } },
          feature: {},
        },
      },
      pro: { entitlements: { api: { limit: { credit: 'call', value: 100 } }, export: {} } },
    },
  },
};

/** How each framework is given the middleware, and where its errors end. */
const frameworks = {
  express(middleware, route) {
    const app = express();
    app.get('/', middleware, (req, res) => {
      route();
      res.send('done');
    });
    app.use((error, req, res, next) => res.status(500).send(`failed: ${error.message}`));
    return http.createServer(app);
  },
  async fastify(middleware, route) {
    const server = fastify();
    server.setErrorHandler((error, request, reply) => reply.code(500).send(`failed: ${error.message}`));
    server.addHook('preHandler', middleware);
    server.get('/', async () => {
      route();
      return 'done';
    });
    await server.ready();
    return server.server;
  },
  http(middleware, route) {
    return http.createServer((req, res) => {
      middleware(req, res, (error) => {
        if (!error) route();
        res.statusCode = error ? 500 : 200;
        res.end(error ? `failed: ${error.message}` : 'done');
      });
    });
  },
};

/** A running server: ask() as a customer; `runs` counts how often the route ran. */
async function served(context, framework, middleware) {
  const site = { runs: 0 };
  const server = await frameworks[framework](middleware, () => { site.runs += 1; });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => server.close());
  const url = `http://127.0.0.1:${server.address().port}/`;
  site.ask = async (customer) => {
    const answer = await fetch(url, { headers: { connection: 'close', ...customer && { 'x-customer': customer } } });
    return { status: answer.status, headers: answer.headers, body: await answer.text() };
  };
  return site;
}

const customer = (req) => req.headers['x-customer'];

function limits({ headers }) {
  return ['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset', 'retry-after'].map(
    (name) => headers.get(name));
}

for (const framework of Object.keys(frameworks)) {
  test(`${framework}: allows, says what is left, denies, and allows again`, async (context) => {
    const clock = new ManualClock(NOON);
    const limitr = await Limitr.open(policy, { clock });
    const site = await served(context, framework, limitr.middleware({ entitlement: 'api', customer }));
    assert.deepEqual(limits(await site.ask('ann')), ['2', '1', '60', null]);
    clock.set(NOON + 10_001);
    assert.deepEqual(limits(await site.ask('ann')), ['2', '0', '50', null]);
    const denied = await site.ask('ann');
    assert.equal(denied.status, 429);
    assert.deepEqual(limits(denied), ['2', '0', '50', '50']);
    assert.match(denied.headers.get('content-type'), /^application\/json/);
    assert.deepEqual(JSON.parse(denied.body),
                     { error: 'limit', entitlement: 'api', resets: NOON + 60_000 });
    const other = await site.ask('bob');
    assert.deepEqual([other.status, other.body], [200, 'done']);
    assert.equal(site.runs, 3);
    clock.set(NOON + 60_001);
    assert.equal((await site.ask('ann')).status, 200);
    assert.equal(await limitr.value('ann', 'api'), 1);
  });

  test(`${framework}: a request that fails ends where errors of the framework end`, async (context) => {
    const limitr = await Limitr.open(policy);
    const failing = {
      'failed: who is that?': { customer: () => { throw new Error('who is that?'); } },
      'failed: no session': { customer: async () => { throw new Error('no session'); } },
      'failed: customer: expected a text, found undefined undefined': { customer: () => undefined },
      'failed: value: expected a number, or a text with a unit, found null': { value: () => null },
      'failed: "3 parsecs" has an unknown unit "parsecs"': { value: '3 parsecs' },
    };
    for (const [body, options] of Object.entries(failing)) {
      const site = await served(context, framework,
                                limitr.middleware({ entitlement: 'api', customer, ...options }));
      const answer = await site.ask('ann');
      assert.deepEqual([answer.status, answer.body, site.runs], [500, body, 0]);
    }
    assert.equal(await limitr.value('ann', 'api'), 0);
  });

  test(`${framework}: a store that is gone is an error, not an answer`, async (context) => {
    const limitr = await Limitr.open(policy, { store: `sqlite:${path.join(temporaryFolder(context), 'l.db')}` });
    const site = await served(context, framework, limitr.middleware({ entitlement: 'api', customer }));
    assert.equal((await site.ask('ann')).status, 200);
    await limitr.close();
    const answer = await site.ask('ann');
    assert.deepEqual([answer.status, answer.body.slice(0, 8), site.runs], [500, 'failed: ', 1]);
  });
}

test('what has no reset says so by saying nothing, and whole numbers only', async (context) => {
  const limitr = await Limitr.open(policy);
  const site = await served(context, 'express', limitr.middleware({ entitlement: 'total', customer }));
  assert.deepEqual(limits(await site.ask('ann')), ['2', '1', null, null]);
  await site.ask('ann');
  const denied = await site.ask('ann');
  assert.deepEqual([denied.status, ...limits(denied)], [429, '2', '0', null, null]);
});

test('a governor does not say to wait for the next month', async (context) => {
  const limitr = await Limitr.open(policy, { clock: new ManualClock(NOON) });
  const site = await served(context, 'express', limitr.middleware({ entitlement: 'burst', customer }));
  assert.equal((await site.ask('ann')).status, 200);
  const denied = await site.ask('ann');
  assert.equal(JSON.parse(denied.body).error, 'governor');
  assert.deepEqual([denied.status, ...limits(denied)], [429, '100', '99', '2592000', null]);
});

test('a feature without a limit has no headers; what the plan lacks is forbidden', async (context) => {
  const limitr = await Limitr.open(policy);
  for (const [entitlement, ensure, status] of [
    ['feature', true, 200], ['export', true, 403], ['feature', false, 403]]) {
    const site = await served(context, 'express', limitr.middleware({ entitlement, customer, ensure }));
    const answer = await site.ask(ensure ? 'ann' : 'nobody');
    assert.deepEqual([answer.status, ...limits(answer)], [status, null, null, null, null]);
  }
  assert.equal(await limitr.customer('nobody'), undefined);
});

test('entitlement, value and plan may depend on the request', async (context) => {
  const limitr = await Limitr.open(policy);
  const site = await served(context, 'express', limitr.middleware({
    entitlement: async () => 'api',
    customer,
    value: (req) => req.headers['x-customer'].length,
    plan: (req) => (req.headers['x-customer'] === 'ann' ? 'pro' : undefined),
  }));
  assert.equal((await site.ask('ann')).status, 200);
  assert.equal(await limitr.value('ann', 'api'), 3);
  assert.equal((await site.ask('robert')).status, 429);
});

test('a request that comes by twice counts once', async (context) => {
  const limitr = await Limitr.open(policy);
  const once = limitr.middleware({ entitlement: 'api', customer });
  const twice = (req, res, next) => once(req, res, (error) => (error ? next(error) : once(req, res, next)));
  const site = await served(context, 'express', twice);
  assert.equal((await site.ask('ann')).status, 200);
  assert.equal(await limitr.value('ann', 'api'), 1);
});

test('a denial may be answered by the application', async (context) => {
  const limitr = await Limitr.open(policy);
  const site = await served(context, 'express', limitr.middleware({
    entitlement: 'api', customer, value: 3,
    denied: (req, res, decision) => res.status(402).send(`buy more: ${decision.reason}`),
  }));
  const answer = await site.ask('ann');
  assert.deepEqual([answer.status, answer.body, answer.headers.get('ratelimit-remaining')],
                   [402, 'buy more: limit', '2']);
});

test('requests at the same time never get more than there is', async (context) => {
  const store = `sqlite:${path.join(temporaryFolder(context), 'l.db')}`;
  const limitr = await Limitr.open(policy, { store });
  context.after(() => limitr.close());
  for (const framework of ['express', 'fastify']) {
    const site = await served(context, framework, limitr.middleware({ entitlement: 'api', customer }));
    const answers = await Promise.all(Array.from({ length: 20 }, () => site.ask(framework)));
    const allowed = answers.filter((answer) => answer.status === 200);
    assert.deepEqual([allowed.length, site.runs], [2, 2]);
    assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([200, 429]));
  }
});

test('options that cannot be meant are refused when the middleware is made', async () => {
  const limitr = await Limitr.open(policy);
  const refused = [
    [undefined, /^options: expected an object/],
    [{ customer }, /^entitlement: expected a text or a function, found nothing/],
    [{ entitlement: 'api' }, /^customer: expected a function, found nothing/],
    [{ entitlement: 'api', customer: 'ann' }, /^customer: expected a function, found string ann/],
    [{ entitlement: 'api', customer, limit: 5 }, /^limit: there is no such option/],
    [{ entitlement: 'api', customer, ensure: 1 }, /^ensure: expected true or false/],
  ];
  for (const [options, message] of refused) {
    assert.throws(() => limitr.middleware(options), { name: 'TypeError', message });
  }
});

test('headers of a decision: seconds are rounded up and never negative', () => {
  const decision = { allowed: false, reason: 'limit', limit: 10, remaining: -3, resets: 5001 };
  assert.deepEqual(rateLimitHeaders(decision, 1000), {
    'RateLimit-Limit': '10', 'RateLimit-Remaining': '0', 'RateLimit-Reset': '5', 'Retry-After': '5' });
  assert.equal(rateLimitHeaders(decision, 9000)['Retry-After'], '0');
});
