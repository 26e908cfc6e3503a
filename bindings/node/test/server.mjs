// SPDX-License-Identifier: Apache-2.0
// `limitr serve` for a test: a process of its own on a real socket, which ends with the test.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { policy } from './policy.mjs';

export class Server {
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'limitr-server-'));
  #program;
  #listen = '127.0.0.1:0';
  #tls = [];

  constructor(context, document = policy) {
    context.after(async () => {
      await this.kill();
      fs.rmSync(this.#folder, { recursive: true });
    });
    this.usePolicy(document);
  }

  /** A policy as an object or as text, also of a server that runs. */
  usePolicy(document) {
    const file = path.join(this.#folder, 'policy.yaml');
    fs.writeFileSync(`${file}.new`, typeof document === 'string' ? document : JSON.stringify(document));
    fs.renameSync(`${file}.new`, file);
  }

  /** From the next start on it speaks TLS, and `options` name the certificate to trust. */
  useTls() {
    const made = spawnSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'key.pem',
      '-out', 'cert.pem', '-days', '2', '-subj', '/CN=x', '-addext', 'subjectAltName=IP:127.0.0.1'],
    { cwd: this.#folder, encoding: 'utf8' });
    assert.equal(made.status, 0, made.stderr);
    this.#tls = ['--tls-cert', 'cert.pem', '--tls-key', 'key.pem'];
    this.caFile = path.join(this.#folder, 'cert.pem');
    return this;
  }

  /** Starts it; again with the same customers, token and address. */
  async start() {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', process.env.LIMITR_PROGRAM, 'serve', '--policy',
      'policy.yaml', '--store', 'sqlite:limitr.db', '--listen', this.#listen, ...this.#tls], { cwd: this.#folder });
    const program = { child, log: '' };
    this.#program = program;
    program.ended = new Promise((resolve) => { child.on('close', resolve); });
    child.stderr.on('data', (data) => { program.log += data; });
    const said = await new Promise((resolve, reject) => {
      let text = '';
      child.stdout.on('data', (data) => {
        text += data;
        if (/Serving at \S+\n/.test(text)) resolve(text);
      });
      child.on('error', reject);
      child.on('close', () => reject(new Error(`no server: ${text}${program.log}`)));
    });
    this.token ??= said.match(/shown this once: (\S+)/)[1];
    this.address = said.match(/Serving at (\S+)/)[1];
    this.#listen = new URL(this.address).host;
    return this;
  }

  get options() {
    return { token: this.token, address: this.address, caFile: this.caFile };
  }

  /** As `kill -9` does. */
  async kill() {
    this.#program?.child.kill('SIGKILL');
    await this.#program?.ended;
  }

  /** Asks it to end, which it does without a complaint. */
  async terminate() {
    this.#program.child.kill('SIGTERM');
    assert.equal(await this.#program.ended, 0, this.#program.log);
  }
}
