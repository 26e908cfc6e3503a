// SPDX-License-Identifier: Apache-2.0
'use strict';

/** Why the engine could not do what it was asked: its message begins with the place, if any. */
class LimitrError extends Error {
  /** @param {string} code @param {string} message @param {string} where */
  constructor(code, message, where = '') {
    super(where ? `${where}: ${message}` : message);
    this.code = code;
    this.where = where;
  }
}
// Shown in stacks; not a field of every error.
Object.defineProperty(LimitrError.prototype, 'name', { value: 'LimitrError', configurable: true });

module.exports = { LimitrError };
