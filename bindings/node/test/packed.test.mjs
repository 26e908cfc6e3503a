// SPDX-License-Identifier: Apache-2.0
// The packed file, as people install it: in an empty folder, on a system that has none of the
// libraries that it was built with.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { packageRoot, run, temporaryFolder } from './policy.mjs';
import { Server } from './server.mjs';

const environment = { ...process.env };
delete environment.LIMITR_NODE_BINARY;

/** Runs a command that must succeed: its output. */
async function must(command, args, options = {}) {
  const { code, output } = await run(command, args, { env: environment, ...options });
  assert.equal(code, 0, output);
  return output;
}

/** What a process has loaded besides its program. */
const seeLibraries = `
  const libraries = () => new Set(require('node:fs').readFileSync('/proc/self/maps', 'utf8').split('\\n')
    .map((line) => line.split(/ +/)[5]).filter((file) => file?.includes('.so')));`;

test('it is installed in an empty folder, and needs nothing of the system', async (context) => {
  const folder = temporaryFolder(context);
  const packed = (await must(path.join(packageRoot, 'pack'), [folder])).trim().split('\n').at(-1);
  const home = path.join(folder, 'app');
  fs.mkdirSync(home);
  await must('npm', ['install', '--offline', '--no-audit', '--no-fund', packed], { cwd: home });
  const installed = path.join(home, 'node_modules', '@formata', 'limitr');

  await context.test('the ten lines of the README work', async () => {
    const readme = fs.readFileSync(path.join(installed, 'README.md'), 'utf8');
    fs.writeFileSync(path.join(home, 'first.mjs'), readme.match(/```js\n([^]*?)```/)[1]);
    assert.equal(await must('node', ['first.mjs'], { cwd: home }), 'true\nfalse\n600\n');
  });

  const server = await new Server(context).useTls().start();
  const all = `
    const { Limitr } = require('@formata/limitr');
    Limitr.open('policy: {plans: {p: {default: true, entitlements: {a: {}}}}}', { store: 'sqlite:a.db' })
      .then(async (limitr) => {
        await limitr.ensureCustomer('ann');
        const answer = await limitr.allow('ann', 'a');
        await limitr.close();
        const cloud = await Limitr.cloud({ ...${JSON.stringify(server.options)}, log: () => {} });
        await cloud.ensureCustomer('ann');
        const other = await cloud.allow('ann', 'feature');
        await cloud.close();
        console.log(JSON.stringify([answer && other, [...libraries()]]));
      });`;

  await context.test('all that it loads lies in the package, but for the C and C++ runtime', async () => {
    const bare = JSON.parse(await must('node', ['-e', `${seeLibraries} console.log(JSON.stringify([...libraries()]))`]));
    const [answer, loaded] = JSON.parse(await must('node', ['-e', seeLibraries + all], { cwd: home }));
    assert.equal(answer, true);
    const runtime = /\/(ld-linux[^/]*|libc|libm|libdl|librt|libpthread|libresolv|libstdc\+\+|libgcc_s)\.so/;
    const foreign = loaded.filter(
      (file) => !bare.includes(file) && !file.startsWith(installed) && !runtime.test(file));
    assert.deepEqual(foreign, []);
  });

  await context.test('it runs where the system has none of these libraries', async () => {
    if ((await run('unshare', ['-m', 'true'])).code !== 0) {
      context.diagnostic('no mount namespaces here: only seen by what is loaded');
      return;
    }
    const bare = JSON.parse(await must('node', ['-e', `${seeLibraries} console.log(JSON.stringify([...libraries()]))`]));
    const binaries = fs.readdirSync(path.join(installed, 'prebuilds')).map(
      (platform) => path.join(installed, 'prebuilds', platform))[0];
    const nothing = path.join(folder, 'nothing');
    fs.writeFileSync(nothing, '');
    const places = fs.readdirSync('/usr/lib').filter((name) => name.endsWith('-linux-gnu'));
    const masks = fs.readdirSync(binaries)
      .flatMap((name) => places.map((place) => path.join('/usr/lib', place, name)))
      .filter((file) => fs.existsSync(file) && !bare.includes(fs.realpathSync(file)));
    assert.ok(masks.length > 0);
    // A file that is there and empty: whoever loads it fails.
    const script = `${masks.map((file) => `mount --bind ${nothing} "$(readlink -f ${file})"`).join('\n')}
      exec node -e "$PROGRAM"`;
    const output = await must('unshare', ['-m', 'bash', '-ec', script],
                              { cwd: home, env: { ...environment, PROGRAM: seeLibraries + all } });
    assert.equal(JSON.parse(output)[0], true);
  });

  await context.test('where its binary does not run it is built, or says what that takes', async () => {
    fs.rmSync(path.join(installed, 'prebuilds'), { recursive: true });
    const without = await run('node', ['first.mjs'], { cwd: home, env: environment });
    assert.equal(without.code, 1);
    assert.match(without.output, /has no binary for .*install\.cjs/);
    // A system without compiler, CMake and packages.
    const programs = path.join(folder, 'bin');
    fs.mkdirSync(programs);
    fs.symlinkSync(process.execPath, path.join(programs, 'node'));
    const failed = await run('node', [path.join(installed, 'install.cjs')],
                             { env: { ...environment, PATH: programs } });
    assert.equal(failed.code, 1);
    assert.match(failed.output, /missing: apt-get install g\+\+ cmake .*libsimdjson-dev/);
    if (!process.env.LIMITR_LONG) return;
    await must('node', [path.join(installed, 'install.cjs')]);
    assert.equal(await must('node', ['first.mjs'], { cwd: home }), 'true\nfalse\n600\n');
  });
});
