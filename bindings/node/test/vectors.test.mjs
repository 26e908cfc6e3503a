// SPDX-License-Identifier: Apache-2.0
// Every vector, through the package's public API.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { difference, play } from './scenario.mjs';

const root = fileURLToPath(new URL('../../../tests/vectors/', import.meta.url));
const files = fs.readdirSync(path.join(root, 'scenarios')).map((name) => `scenarios/${name}`);

function scenarios(file) {
  const lines = fs.readFileSync(path.join(root, file), 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line));
}

for (const file of [...files, 'restore.ndjson']) {
  test(file, async () => {
    for (const scenario of scenarios(file)) {
      assert.equal(await play(scenario), undefined, scenario.name);
    }
  });
}

test('all of them, with a store: no call is made on the thread of JavaScript', async () => {
  let count = 0;
  for (const scenario of [...files, 'restore.ndjson'].flatMap(scenarios)) {
    count += 1;
    const options = { store: `memory:vectors-${count}`, acceptWeaker: true, log() {} };
    assert.equal(await play(scenario, options), undefined, scenario.name);
  }
  assert.equal(count, 527);
});

test('what is compared is seen to differ', () => {
  assert.equal(difference({ a: [1, null] }, { a: [1 + 1e-10, null], b: 2 }, ''), undefined);
  assert.match(difference({ a: [1, 2] }, { a: [1, 3] }, ''), /^\.a\[1\]: expected 2, found 3$/);
  assert.match(difference({ resets: 5 }, { resets: 5.0000000001 }, ''), /resets/);
  assert.match(difference(true, false, 'answer'), /expected true, found false/);
});
