// SPDX-License-Identifier: Apache-2.0
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'fs';

function fileOf(key: string): string {
  return `${key.replace(':', '_')}.json`;
}

/**
 * Texts by key, each in a file of the working folder. A crash leaves the old text or the new one,
 * never a part of it; writing in one go keeps texts that are set one after another in their order.
 */
export const db = {
  async get(key: string): Promise<string | null> {
    return existsSync(fileOf(key)) ? readFileSync(fileOf(key), 'utf-8') : null;
  },

  async set(key: string, value: string): Promise<void> {
    const scratch = openSync(`${fileOf(key)}.new`, 'w');
    writeSync(scratch, value);
    fsyncSync(scratch);
    closeSync(scratch);
    renameSync(`${fileOf(key)}.new`, fileOf(key));
  },
};
