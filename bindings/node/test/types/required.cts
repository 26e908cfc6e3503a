// SPDX-License-Identifier: Apache-2.0
// The same types, where modules are required.

import { Limitr, type Decision } from '@formata/limitr';

export async function decide(): Promise<Decision> {
  const limitr = await Limitr.new('policy: {}');
  return limitr.decide('ann', 'chat', 1);
}
