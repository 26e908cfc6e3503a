// SPDX-License-Identifier: Apache-2.0
// What the package costs, next to what else would do. Prints a table.
//
//   node bindings/node/bench/bench.mjs [--json] [--quick] [--strict] [NAME...]
//
//   --json    the results as one JSON object, in the form of `limitr bench --json`
//   --quick   tiny sizes: compares the answers only
//   --strict  exit code 1 also when a goal is missed
//
// As `limitr bench`: answers first, then ours and the comparator's in turn; the median of the
// ratios counts.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import limiters from 'rate-limiter-flexible';

import { Limitr } from '../lib/index.mjs';

const flags = new Set(process.argv.slice(2).filter((argument) => argument.startsWith('--')));
const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const quick = flags.has('--quick');
const PAIRS = quick ? 1 : 9;

const LIMIT = 400;
const policy = (limit) => ({
  policy: {
    credits: { token: {} },
    plans: { pro: { default: true, entitlements: Object.fromEntries(['chat', 'search', 'upload'].map(
      (name) => [name, { limit: { credit: 'token', value: limit, resets: true, reset_inc: '30days' } }])) } },
  },
});

function customerIds(count) {
  return Array.from({ length: count }, (_, i) => `customer-${String(i).padStart(6, '0')}`);
}

/** Numbers below `bound`, the same in every run. */
function* numbers(bound, seed = 42) {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield Math.floor((state / 2 ** 32) * bound);
  }
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Nanoseconds that `work` takes. */
async function time(work) {
  const started = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - started);
}

function must(condition, what) {
  if (!condition) throw new Error(`the answers disagree: ${what}`);
}

async function opened(ids, limit, options = {}) {
  const limitr = await Limitr.open(policy(limit), options);
  for (const id of ids) await limitr.ensureCustomer(id);
  return limitr;
}

/** Ours and the comparator's in turn, after one pair that only warms: figures per unit. */
async function inTurn(units, ours, theirs) {
  const figures = [];
  for (let pair = 0; pair <= PAIRS; ++pair) {
    const figure = { ours: (await time(ours)) / units, theirs: theirs ? (await time(theirs)) / units : NaN };
    if (pair > 0) figures.push(figure);
  }
  return {
    value: median(figures.map((figure) => figure.ours)),
    comparator: median(figures.map((figure) => figure.theirs)),
    ratio: median(figures.map((figure) => figure.ours / figure.theirs)),
  };
}

async function nodeAllow() {
  const count = quick ? 2000 : 200_000;
  const ids = customerIds(1000);
  const order = numbers(ids.length);
  const calls = Array.from({ length: count }, () => ids[order.next().value]);
  // First that both allow the same: limits that a few customers reach.
  const most = Math.round(count / ids.length) + (quick ? 2 : 20);
  const few = await opened(ids, most);
  const peer = new limiters.RateLimiterMemory({ points: most, duration: 86_400 });
  let denied = 0;
  for (const id of calls) {
    const ours = await few.allow(id, 'chat', 1);
    const theirs = await peer.consume(id, 1).then(() => true, () => false);
    must(ours === theirs, `${id}: ${ours} and ${theirs}`);
    denied += ours ? 0 : 1;
  }
  must(denied > 0 && denied < count / 4, `${denied} of ${count} denied`);
  // Then what it takes, where all is allowed: a rejection costs the peer much more.
  const limitr = await opened(ids, 1e12);
  const limiter = new limiters.RateLimiterMemory({ points: 1e12, duration: 86_400 });
  const figures = await inTurn(count, async () => {
    for (const id of calls) await limitr.allow(id, 'chat', 1);
  }, async () => {
    for (const id of calls) await limiter.consume(id, 1);
  });
  return { ...figures, unit: 'ns', goal: ['<', 1, 'ratio'], peer: 'rate-limiter-flexible, in memory' };
}

async function nodeEvent() {
  const count = quick ? 1000 : 50_000;
  const ids = customerIds(1000);
  const limitr = await opened(ids, 1e12);
  let sum = 0;
  await limitr.addHandler('sum', (key, value) => {
    if (key === 'meter-changed') sum += value.meter.diff;
  });
  const figures = await inTurn(count * 1000, async () => {
    for (let i = 0; i < count; ++i) await limitr.allow(ids[i % ids.length], 'chat', 1);
  });
  must(sum === count * (PAIRS + 1), `${sum} of ${count * (PAIRS + 1)} events`);
  return { ...figures, unit: 'us', goal: ['<=', 5, 'value'] };
}

async function nodeCustomers() {
  const ids = customerIds(quick ? 100 : 10_000);
  const limitr = await opened(ids, LIMIT);
  for (const id of ids) {
    for (const name of ['chat', 'search', 'upload']) for (let i = 0; i < 3; ++i) await limitr.allow(id, name, i + 1);
  }
  const text = JSON.stringify(await limitr.customers());
  let ours;
  let theirs;
  const figures = await inTurn(1e6, async () => {
    ours = await limitr.customers();
  }, async () => {
    theirs = JSON.parse(text);
  });
  must(JSON.stringify(ours) === JSON.stringify(theirs), 'the snapshots');
  return { ...figures, unit: 'ms', goal: ['<=', 2, 'ratio'], peer: 'JSON.parse of the same text' };
}

async function nodeSqlite1000() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'limitr-bench-'));
  const store = `sqlite:${path.join(folder, 'limitr.db')}`;
  const ids = customerIds(1000);
  const count = quick ? 2000 : 100_000;
  try {
    const limitr = await opened(ids, 1e12, { store });
    const run = async () => {
      let next = 0;
      await Promise.all(Array.from({ length: 1000 }, async () => {
        while (next < count) await limitr.allow(ids[next++ % ids.length], 'chat', 1);
      }));
    };
    const { value } = await inTurn(count, run);
    await limitr.close();
    const again = await Limitr.open(policy(1e12), { store });
    let sum = 0;
    for (const id of ids) sum += await again.value(id, 'chat');
    must(sum === count * (PAIRS + 1), `the store has ${sum} of ${count * (PAIRS + 1)} calls`);
    await again.close();
    return { value: 1e9 / value, unit: 'calls/s', better: 'higher', goal: ['>=', 100_000, 'value'] };
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function importTime() {
  const module = new URL('../lib/index.mjs', import.meta.url).href;
  const program = `const started = process.hrtime.bigint();
    await import(${JSON.stringify(module)});
    console.log(Number(process.hrtime.bigint() - started) / 1e6);`;
  const run = () => Number(execFileSync(process.execPath, ['--input-type=module', '-e', program]));
  return { value: median(Array.from({ length: PAIRS }, run)), unit: 'ms', goal: ['<=', 50, 'value'] };
}

const BENCHES = { node_allow: nodeAllow, node_event: nodeEvent, node_customers: nodeCustomers,
                  node_sqlite_1000: nodeSqlite1000, import_time: importTime };

function rowOf(name, { value, comparator, ratio, unit, better = 'lower', goal: [op, number, of], peer }) {
  const measured = of === 'ratio' ? ratio : value;
  const met = { '<': measured < number, '<=': measured <= number, '>=': measured >= number }[op];
  return { name, value, unit, better, comparator: peer ? { name: peer, value: comparator } : null,
           ratio: peer ? ratio : null, goal: { op, number, of }, met, runs: PAIRS };
}

function line(row) {
  const number = (value) => (value === null ? '' : value.toPrecision(4));
  return [row.name.padEnd(18), `${number(row.value)} ${row.unit}`.padEnd(20),
          (row.comparator ? `${number(row.comparator.value)} ${row.unit}` : '').padEnd(16),
          number(row.ratio).padEnd(8), `${row.goal.of} ${row.goal.op} ${row.goal.number}`.padEnd(18),
          row.met ? 'yes' : 'no'].join('  ');
}

const unknown = names.filter((name) => !(name in BENCHES));
const known = new Set(['--json', '--quick', '--strict']);
if (unknown.length > 0 || ![...flags].every((flag) => known.has(flag))) {
  console.error(`usage: bench.mjs [--json] [--quick] [--strict] [${Object.keys(BENCHES).join(' | ')}]...`);
  process.exit(2);
}
const rows = [];
if (!flags.has('--json')) {
  console.log(['bench'.padEnd(18), 'value'.padEnd(20), 'comparator'.padEnd(16), 'ratio'.padEnd(8),
               'goal'.padEnd(18), 'met'].join('  '));
}
for (const name of names.length > 0 ? names : Object.keys(BENCHES)) {
  const row = rowOf(name, await BENCHES[name]());
  rows.push(row);
  if (!flags.has('--json')) console.log(line(row));
}
if (flags.has('--json')) console.log(JSON.stringify({ results: rows }));
if (flags.has('--strict') && !rows.every((row) => row.met)) process.exitCode = 1;
