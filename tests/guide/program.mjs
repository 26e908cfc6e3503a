// SPDX-License-Identifier: Apache-2.0
// What the tests share: the programs of examples/guide-node, started, asked over HTTP, and killed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const examples = fileURLToPath(new URL('../../examples/guide-node/', import.meta.url));
export const requireExample = createRequire(path.join(examples, 'package.json'));

const PATIENCE = 60_000;

/** Waits until a condition gives something, and gives that. Nothing tells when. */
export async function comesTrue(what, condition) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) assert.fail(`it does not come true: ${what}`);
    await sleep(5);
  }
}

const endings = new WeakMap();

/** Calls a function when the test ends: what was begun last ends first. */
export function atEnd(context, end) {
  if (!endings.has(context)) {
    endings.set(context, []);
    context.after(async () => {
      for (const one of endings.get(context).reverse()) await one();
    });
  }
  endings.get(context).push(end);
}

/** A folder for one test. */
export function temporaryFolder(context) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'limitr-guide-'));
  atEnd(context, () => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a program that dies with us; `output` is what it has said, `ended` resolves with how it ended. */
export function start(context, command, args, options = {}) {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], options);
  const program = { child, output: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => { program.output += data; });
  }
  program.ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  atEnd(context, async () => {
    child.kill('SIGKILL');
    await program.ended;
  });
  return program;
}

/** A service of the examples, in a folder of its own where its state outlives it. */
export class Service {
  #context;
  #file;
  #environment;
  #program;

  /** @param {string} file below examples/guide-node */
  constructor(context, file, environment = {}) {
    this.#context = context;
    this.#file = path.join(examples, file);
    this.#environment = environment;
    this.folder = temporaryFolder(context);
    this.usePolicy('policy.yaml');
  }

  /** The policy of the next start. */
  usePolicy(name) {
    fs.copyFileSync(path.join(examples, name), path.join(this.folder, 'policy.yaml'));
  }

  /** Starts it, and waits until it answers. */
  async start() {
    this.launch();
    await comesTrue(`${this.#file} answers`, async () => {
      if (this.#program.child.exitCode !== null) assert.fail(this.output);
      return this.customer('nobody').then(() => true, () => false);
    });
  }

  /** Starts it; it may not answer yet. */
  launch() {
    // Node listens on a socket of this name: no two tests want one port.
    const socket = path.join(this.folder, 'http.sock');
    fs.rmSync(socket, { force: true });
    const loader = pathToFileURL(requireExample.resolve('tsx')).href;
    this.#program = start(this.#context, process.execPath, ['--import', loader, this.#file], {
      cwd: this.folder, env: { ...process.env, ...this.#environment, PORT: socket },
    });
  }

  /** What it has said since it was started. */
  get output() {
    return this.#program.output;
  }

  /** Ends it as `kill -9` does. */
  async kill() {
    this.#program.child.kill('SIGKILL');
    assert.equal((await this.#program.ended).signal, 'SIGKILL', this.output);
  }

  async restart() {
    await this.kill();
    await this.start();
  }

  /** Asks it to end: its exit code. */
  async terminate() {
    this.#program.child.kill('SIGTERM');
    return (await this.#program.ended).code;
  }

  /** The JSON that it answers. */
  ask(method, url) {
    return new Promise((resolve, reject) => {
      const request = http.request(
        { socketPath: path.join(this.folder, 'http.sock'), method, path: url, agent: false }, (answer) => {
          let text = '';
          answer.on('data', (data) => { text += data; });
          answer.on('error', reject);
          answer.on('end', () => {
            try {
              resolve(JSON.parse(text));
            } catch {
              reject(new Error(`${answer.statusCode}: ${text}`));
            }
          });
        });
      request.on('error', reject);
      request.end();
    });
  }

  /** {allowed, used} of one use. */
  use(customer, entitlement, value) {
    return this.ask('POST', `/${customer}/${entitlement}/${value}`);
  }

  /** The customer's record, or null. */
  customer(id) {
    return this.ask('GET', `/${id}`);
  }

  /** What the snapshot in a file says that a customer has used. */
  saved(customer, entitlement) {
    const file = path.join(this.folder, 'limitr_customers.json');
    if (!fs.existsSync(file)) return undefined;
    return JSON.parse(fs.readFileSync(file, 'utf8'))[customer]?.meters[entitlement].value;
  }
}
