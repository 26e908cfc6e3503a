// SPDX-License-Identifier: Apache-2.0
import openfeature from './openfeature.cjs';

export const { LimitrProvider } = openfeature;
