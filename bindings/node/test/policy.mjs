// SPDX-License-Identifier: Apache-2.0
// What the tests share: a policy, folders that go away, programs that are run.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const packageRoot = fileURLToPath(new URL('..', import.meta.url));
export const moduleUrl = new URL('../lib/index.mjs', import.meta.url).href;

export const policy = {
  policy: {
    credits: { token: { price: { amount: 0.5 } }, call: {} },
    plans: {
      pro: {
        default: true,
        entitlements: {
          chat: { limit: { credit: 'token', value: 1000, increment: 2 } },
          lookup: { limit: { credit: 'call', value: 1000 } },
          feature: {},
        },
        topups: { extra: { credit: 'token', value: 100 } },
      },
      free: { entitlements: { chat: { limit: { credit: 'token', value: 3 } } } },
    },
  },
};

/** The same, with a cost and a notification that host functions decide. */
export const hostedPolicy = structuredClone(policy);
hostedPolicy.policy.credits.call = { overhead_cost: 0.5, overhead_fn: 'cost' };
hostedPolicy.policy.notifications = { large: { events: ['meter-changed'], fn: 'isLarge' } };

/** A folder for one test. */
export function temporaryFolder(context) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'limitr-'));
  context.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a program to its end: {code, signal, output}. `see` gets its output as it comes. */
export function run(command, args, { see, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, options);
    let output = '';
    const add = (data) => {
      output += data;
      see?.(output, child);
    };
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, output }));
  });
}

/** Runs a program text as an ES module: `Limitr`, `ManualClock` and `policy` are there. */
export function runText(text, options = {}, args = []) {
  const program = `import { Limitr, ManualClock } from ${JSON.stringify(moduleUrl)};
const policy = ${JSON.stringify(policy)};
${text}`;
  return run(process.execPath, [...args, '--input-type=module', '--eval', program], options);
}
