// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { examples } from './program.mjs';

const topics = fs.readdirSync(examples, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'node_modules')
  .map((entry) => entry.name);

test('every program compiles under --strict', () => {
  const tsc = path.join(examples, 'node_modules', '.bin', 'tsc');
  const { status, stdout } = spawnSync(tsc, ['-p', examples], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});

test('every program has its test, and the one with a store is shorter', () => {
  const length = (topic, kind) => fs.readFileSync(path.join(examples, topic, `${kind}.ts`), 'utf8').length;
  assert.ok(topics.length >= 9);
  for (const topic of topics) {
    assert.ok(fs.existsSync(new URL(`${topic}.test.mjs`, import.meta.url)), topic);
    if (topic === 'cloud') continue;  // Its state is a server's, whatever the program does.
    assert.ok(length(topic, 'store') < length(topic, 'guide'), topic);
  }
});
