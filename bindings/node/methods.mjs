// SPDX-License-Identifier: Apache-2.0
// Which method stands for which call. Run by itself it prints that as JSON, for the table of all
// languages: {call: method}, of those that the class has.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

import { Limitr } from './lib/index.mjs';

const { CALLS } = createRequire(import.meta.url)('./lib/calls.cjs');

/** The names of an object's own methods, sorted. */
export function ownMethods(object) {
  return Object.getOwnPropertyNames(object)
    .filter((name) => typeof object[name] === 'function' && name !== 'constructor')
    .sort();
}

/** {call: method}: the spec's name of each call, and the method that makes it. */
export function methodsByCall() {
  const named = { add_customer_cap: 'addCustomerCap', close: 'close', difference: 'difference',
    valid: 'valid', version: 'version', add_handler: 'addHandler', remove_handler: 'removeHandler',
    clear_handlers: 'clearHandlers', import_state: 'importState', decide: 'decide' };
  for (const [method, call] of Object.entries(CALLS)) named[call.name] ??= method;
  return named;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const there = Object.entries(methodsByCall()).filter(([, method]) => method in Limitr.prototype);
  const statics = ownMethods(Limitr).map((name) => [name, `Limitr.${name}`]);
  console.log(JSON.stringify(Object.fromEntries([...there, ...statics])));
}
