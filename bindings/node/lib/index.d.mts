// SPDX-License-Identifier: Apache-2.0
export * from './index.js';
export { Limitr as default } from './index.js';
