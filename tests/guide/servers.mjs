// SPDX-License-Identifier: Apache-2.0
// Real servers, each in a folder of its own, that end with the test.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { Server } from '../../bindings/node/test/server.mjs';
import { atEnd, comesTrue, examples, requireExample, start, temporaryFolder } from './program.mjs';

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** A Redis that keeps what it answers: its URL and a client. */
export async function startRedis(context) {
  const { createClient } = requireExample('redis');
  const folder = temporaryFolder(context);
  for (;;) {
    const port = await freePort();
    const program = start(context, 'redis-server', [
      '--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--appendonly', 'yes',
      '--appendfsync', 'always', '--save', '']);
    const isUp = await comesTrue('redis-server is up', () => {
      if (program.output.includes('eady to accept')) return 'up';
      return program.child.exitCode === null ? undefined : 'gone';
    });
    // Somebody may have taken the port meanwhile.
    if (isUp === 'gone' && program.output.includes('in use')) continue;
    assert.equal(isUp, 'up', program.output);
    const url = `redis://127.0.0.1:${port}`;
    const client = createClient({ url });
    await client.connect();
    atEnd(context, () => client.close());
    return { url, client };
  }
}

/** A Cloud server with the policy of the examples, and what its services find in their environment. */
export async function startCloud(context) {
  const policy = fs.readFileSync(path.join(examples, 'policy.yaml'), 'utf8');
  const server = await new Server(context, policy).start();
  return { server, environment: { LIMITR_TOKEN: server.token, LIMITR_ADDRESS: server.address } };
}

// PostgreSQL refuses to run as root.
function serverUser() {
  if (process.getuid() !== 0) return {};
  const [uid, gid] = ['-u', '-g'].map(
    (flag) => Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout));
  assert.ok(uid > 0, 'there is no user `postgres` to run the server as');
  return { uid, gid };
}

/** A PostgreSQL that listens on a socket only: its URL and a client. */
export async function startPostgres(context) {
  const pg = requireExample('pg');
  const programs = process.env.LIMITR_POSTGRES_BIN;
  const folder = temporaryFolder(context);
  const user = serverUser();
  if (user.uid) fs.chownSync(folder, user.uid, user.gid);
  const data = path.join(folder, 'data');
  const made = spawnSync(path.join(programs, 'initdb'), [
    '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
  { ...user, cwd: folder, encoding: 'utf8' });
  assert.equal(made.status, 0, `${made.error ?? ''}${made.stdout}${made.stderr}`);
  const program = start(context, path.join(programs, 'postgres'), ['-D', data, '-k', folder, '-h', ''],
                        { ...user, cwd: folder });
  const url = `postgres://postgres@/postgres?host=${folder}`;
  const client = await comesTrue('postgres is up', async () => {
    assert.equal(program.child.exitCode, null, program.output);
    const candidate = new pg.Client({ connectionString: url });
    // Where it is not up yet, connect() rejects and there is nothing to end.
    return candidate.connect().then(() => candidate, () => undefined);
  });
  atEnd(context, () => client.end());
  return { url, client };
}
