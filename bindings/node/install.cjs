// SPDX-License-Identifier: Apache-2.0
'use strict';
// Runs when the package is installed: builds the addon where the one that came along does not load.

const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const native = path.join(__dirname, 'native');

/** Whether the addon that is there can be loaded, in a process of its own. */
function loads() {
  const load = `require(${JSON.stringify(path.join(__dirname, 'lib', 'binary.cjs'))}).loadBinary()`;
  return spawnSync(process.execPath, ['-e', load], { stdio: 'ignore' }).status === 0;
}

/** What of the Debian packages that building takes is not installed. */
function missingPackages() {
  const packages = fs.readFileSync(path.join(native, 'packages.txt'), 'utf8').split(/\s+/).filter(Boolean);
  return packages.filter((name) => {
    const found = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Status}', name], { encoding: 'utf8' });
    return found.stdout !== 'installed';
  });
}

function build() {
  const tree = path.join(native, 'build');
  const options = ['CLI', 'EXAMPLES', 'TESTS', 'BENCH'].map((part) => `-DLIMITR_BUILD_${part}=OFF`);
  const run = (...args) => execFileSync('cmake', args, { stdio: 'inherit' });
  run('-S', native, '-B', tree, '-DCMAKE_BUILD_TYPE=Release', '-DLIMITR_NODE=ON', ...options,
      `-DLIMITR_NODE_MODULES=${path.join(native, 'headers')}`);
  run('--build', tree, '--parallel', String(os.availableParallelism?.() ?? os.cpus().length), '--target', 'limitr_node');
  run('--install', tree, '--component', 'node', '--prefix', path.join(native, 'out'));
  fs.rmSync(tree, { recursive: true, force: true });
}

function main() {
  if (loads()) return 0;
  const platform = `${process.platform}-${process.arch}`;
  console.error(`@formata/limitr: no binary that runs on this ${platform} came along: building one`);
  // A prebuilt one that does not load would be found first.
  fs.rmSync(path.join(__dirname, 'prebuilds', platform), { recursive: true, force: true });
  try {
    build();
  } catch (error) {
    const missing = missingPackages();
    console.error(`@formata/limitr: it could not be built: ${error.message}`);
    if (missing.length > 0) {
      console.error('@formata/limitr: of what it takes on Debian these are missing: ' +
                    `apt-get install ${missing.join(' ')}`);
    }
    return 1;
  }
  if (loads()) return 0;
  console.error('@formata/limitr: it was built, and does not load');
  return 1;
}

process.exitCode = main();
