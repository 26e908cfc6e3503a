// SPDX-License-Identifier: Apache-2.0
// How engines live with their process: its end, its threads, its memory, and the tools people use.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { Limitr } from '../lib/index.mjs';
import { moduleUrl, packageRoot, policy, run, runText, temporaryFolder } from './policy.mjs';

// Long: LIMITR_LONG=1.
const memoryCalls = process.env.LIMITR_LONG ? 10_000_000 : 1_000_000;

async function runsTo(expected, text, args = []) {
  const { code, signal, output } = await runText(text, { timeout: 600_000 }, args);
  assert.deepEqual([code, signal, output], [0, null, expected]);
}

test('a process ends when an engine is closed, and when it is not', async (context) => {
  const store = `{ store: 'sqlite:${path.join(temporaryFolder(context), 'a.db')}' }`;
  for (const options of ['{}', store]) {
    for (const end of ['await limitr.close();', '', 'process.exit(0);']) {
      await runsTo('true\n', `
        const limitr = await Limitr.open(policy, ${options});
        await limitr.addHandler('h', () => limitr.customers());
        await limitr.ensureCustomer('ann');
        console.log(await limitr.allow('ann', 'chat', 1));
        ${end}`);
    }
  }
});

test('calls that are on their way keep the process alive', async (context) => {
  const store = path.join(temporaryFolder(context), 'a.db');
  await runsTo('answered\n', `
    const limitr = await Limitr.open(policy, { store: 'sqlite:${store}' });
    limitr.ensureCustomer('ann').then(() => console.log('answered'));`);
});

test('what an engine of an interval still has is written when the process ends', async (context) => {
  const store = `sqlite:${path.join(temporaryFolder(context), 'a.db')}`;
  await runsTo('', `
    const limitr = await Limitr.open(policy, { store: '${store}', durability: 'interval', writeInterval: 60000 });
    await limitr.ensureCustomer('ann');
    await limitr.allow('ann', 'chat', 4);`);
  const limitr = await Limitr.open(policy, { store });
  assert.equal(await limitr.value('ann', 'chat'), 4);
  await limitr.close();
});

test('a handler that throws or rejects is logged; the others and the call go on', async () => {
  const log = [];
  const limitr = await Limitr.open(policy, { log: (message) => log.push(message) });
  await limitr.ensureCustomer('ann');
  const seen = [];
  await limitr.addHandler('throws', () => { throw new Error('one'); });
  await limitr.addHandler('rejects', async () => { throw new Error('two'); });
  await limitr.addHandler('odd', () => { throw undefined; });
  await limitr.addHandler('sees', (key, value) => seen.push([key, value.meter.value]));
  assert.equal(await limitr.allow('ann', 'chat', 1), true);
  assert.deepEqual(seen, [['meter-changed', 1]]);
  await new Promise(setImmediate);
  assert.equal(log.length, 3);
  assert.match(log.join('\n'), /handler throws threw for meter-changed: Error: one/);
  assert.match(log.join('\n'), /handler rejects threw for meter-changed: Error: two/);
  // Also where nobody has given a log.
  const { code, output } = await runText(`
    const limitr = await Limitr.new(policy);
    await limitr.addHandler('rejects', async () => { throw new Error('two'); });
    await limitr.ensureCustomer('ann');
    await new Promise(setImmediate);`);
  assert.equal(code, 0);
  assert.match(output, /limitr: handler rejects threw for customer-set: Error: two/);
});

test('handlers are called in the order of their names, and replaced in their place', async () => {
  const limitr = await Limitr.new(policy);
  const seen = [];
  await limitr.addHandler('a', () => seen.push('a1'));
  await limitr.addHandler('b', () => seen.push('b'));
  await limitr.addHandler('a', () => seen.push('a2'));
  await limitr.ensureCustomer('ann');
  assert.deepEqual(seen.splice(0), ['a2', 'b']);
  assert.equal(await limitr.removeHandler('a'), true);
  assert.equal(await limitr.removeHandler('a'), false);
  await limitr.ensureCustomer('bob');
  assert.deepEqual(seen.splice(0), ['b']);
  await limitr.clearHandlers();
  await limitr.ensureCustomer('carl');
  await limitr.addHandler('c', () => seen.push('c'));
  await limitr.ensureCustomer('dan');
  assert.deepEqual(seen, ['c']);
});

test('engines run in worker threads, and end with them', async (context) => {
  const folder = temporaryFolder(context);
  await runsTo('true true true ended\n', `
    import { Worker } from 'node:worker_threads';
    const text = (store) => \`
      Promise.all([import('node:worker_threads'), import(${JSON.stringify(moduleUrl)})]).then(async (
          [{ parentPort }, { Limitr }]) => {
        const limitr = await Limitr.open(${JSON.stringify(policy)}, \${store});
        await limitr.addHandler('h', () => {});
        await limitr.ensureCustomer('ann');
        parentPort.postMessage(await limitr.allow('ann', 'chat', 1));
        // Ended in the midst of calls.
        for (;;) await Promise.all(Array.from({ length: 50 }, () => limitr.allow('ann', 'chat', 0.001)));
      });\`;
    const here = await Limitr.new(policy);
    await here.ensureCustomer('ann');
    const workers = ['{}', '{ store: "sqlite:${folder}/w.db" }'].map(
      (store) => new Worker(text(store), { eval: true }));
    const answers = await Promise.all(workers.map(
      (worker) => new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))));
    await Promise.all(workers.map((worker) => worker.terminate()));
    // ... and while they are being opened.
    for (let i = 0; i < 20; ++i) {
      const worker = new Worker(text(\`{ store: "sqlite:${folder}/o\${i}.db" }\`), { eval: true });
      await new Promise((resolve) => worker.on('online', resolve));
      await new Promise((resolve) => setTimeout(resolve, i));
      await worker.terminate();
    }
    console.log(...answers, await here.allow('ann', 'chat', 1), 'ended');`);
});

test('an engine that nobody has any more is freed', async (context) => {
  const folder = temporaryFolder(context);
  await runsTo('ok\n', `
    for (let i = 0; i < 60; ++i) {
      const limitr = await Limitr.open(policy, i % 10 ? {} : { store: \`sqlite:${folder}/\${i}.db\` });
      await limitr.addHandler('h', () => limitr.version());
      await limitr.ensureCustomer('ann');
      await limitr.allow('ann', 'chat', 1);
      if (i % 7 === 0) gc();
    }
    // A store that is let go of can be opened again.
    gc();
    await new Promise(setImmediate);
    gc();
    await (await Limitr.open(policy, { store: 'sqlite:${folder}/10.db' })).close();
    console.log('ok');`, ['--expose-gc']);
});

test(`memory is stable over ${memoryCalls} calls`, async () => {
  await runsTo('stable\n', `
    const limitr = await Limitr.new({ policy: { credits: { token: {} }, plans: { p: { default: true, entitlements: {
      chat: { limit: { credit: 'token', value: 1e12 } } } } } } });
    let events = 0;
    await limitr.addHandler('h', () => { events += 1; });
    for (let i = 0; i < 100; ++i) await limitr.ensureCustomer('c' + i);
    const calls = async (count) => {
      for (let i = 0; i < count; ++i) {
        await limitr.allow('c' + (i % 100), 'chat', 1);
        if (i % 100 === 0) await limitr.check('c1', 'chat', 1, { detail: true });
        if (i % 100 === 50) await limitr.allow('nobody', 'chat', 1);
        if (i % 100 === 75) await limitr.allow('c1', 'chat', NaN).catch(() => {});
      }
    };
    const used = async () => {
      // Node keeps a list of rejections until the microtasks are through.
      await new Promise(setImmediate);
      gc();
      return process.memoryUsage();
    };
    await calls(${memoryCalls} / 10);
    const before = await used();
    await calls(${memoryCalls});
    const after = await used();
    const grown = (key) => (after[key] - before[key]) / 2 ** 20;
    console.log(grown('heapUsed') < 2 && grown('rss') < 24 && events > ${memoryCalls}
      ? 'stable' : [grown('heapUsed'), grown('rss'), events]);`, ['--expose-gc']);
});

/** A folder where the package is installed as others have it. */
function installedFolder(context) {
  // Inside the package, so that the tools' own modules are found.
  const folder = fs.mkdtempSync(path.join(packageRoot, 'node_modules', '.limitr-test-'));
  context.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  fs.mkdirSync(path.join(folder, 'node_modules', '@formata'), { recursive: true });
  fs.symlinkSync(packageRoot, path.join(folder, 'node_modules', '@formata', 'limitr'));
  return folder;
}

test('it runs under tsx', async (context) => {
  const folder = installedFolder(context);
  fs.writeFileSync(path.join(folder, 'program.mts'), `
    import { Limitr, type Decision } from '@formata/limitr';
    const limitr: Limitr = await Limitr.new(${JSON.stringify(policy)});
    await limitr.ensureCustomer('ann');
    const decision: Decision = await limitr.decide('ann', 'chat', 2);
    console.log(decision.value);`);
  fs.writeFileSync(path.join(folder, 'program.cts'), `
    import Limitr from '@formata/limitr';
    Limitr.new('policy: {plans: {}}').then(async (limitr) => console.log(await limitr.valid()));`);
  const tsx = path.join(packageRoot, 'node_modules', '.bin', 'tsx');
  const esm = await run(tsx, ['program.mts'], { cwd: folder });
  assert.deepEqual([esm.code, esm.output], [0, '2\n']);
  const cjs = await run(tsx, ['program.cts'], { cwd: folder });
  assert.equal(cjs.code, 0, cjs.output);
});

test('it runs under vitest, in threads and in processes', async (context) => {
  const folder = installedFolder(context);
  for (const name of ['one', 'two']) {
    fs.writeFileSync(path.join(folder, `${name}.test.ts`), `
      import { expect, test } from 'vitest';
      import { Limitr } from '@formata/limitr';
      test('allows', async () => {
        const limitr = await Limitr.new(${JSON.stringify(policy)});
        await limitr.ensureCustomer('ann');
        expect(await limitr.allow('ann', 'chat', 2)).toBe(true);
      });`);
  }
  const vitest = path.join(packageRoot, 'node_modules', '.bin', 'vitest');
  for (const pool of ['threads', 'forks']) {
    const { code, output } = await run(vitest, ['run', `--pool=${pool}`, '--root', folder], { cwd: folder });
    assert.equal(code, 0, output);
    assert.match(output, /2 passed/);
  }
});
