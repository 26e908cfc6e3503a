// SPDX-License-Identifier: Apache-2.0
'use strict';
// Finds the addon and loads it.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const root = path.join(__dirname, '..');

/** The addon's file: the one named by LIMITR_NODE_BINARY, the one that came along, or built here. */
function findBinary() {
  const named = process.env.LIMITR_NODE_BINARY;
  if (named) return named;
  const places = [
    path.join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'limitr.node'),
    path.join(root, 'native', 'out', 'limitr.node'),
  ];
  return places.find((place) => fs.existsSync(place));
}

function loadBinary() {
  const file = findBinary();
  if (!file) {
    throw new Error(
      `@formata/limitr has no binary for ${process.platform}-${process.arch}: ` +
        `build it with \`node ${path.join(root, 'install.cjs')}\``,
    );
  }
  const loaded = { exports: {} };
  // A Node may carry an OpenSSL or SQLite of its own. Ours must not be mixed with them, so what the
  // addon needs is looked for among its own libraries first.
  const deep = os.constants.dlopen.RTLD_DEEPBIND ?? 0;
  process.dlopen(loaded, file, os.constants.dlopen.RTLD_LAZY | deep);
  return loaded.exports;
}

module.exports = { findBinary, loadBinary };
