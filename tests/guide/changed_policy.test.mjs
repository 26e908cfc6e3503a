// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import { Service, comesTrue } from './program.mjs';

for (const kind of ['guide', 'store']) {
  /** 400,000 of 500,000 used, the process killed, and started with another policy. */
  const deployed = async (context, policy) => {
    const service = new Service(context, `changed_policy/${kind}.ts`);
    await service.start();
    await service.use('ann', 'ai_tokens', 400_000);
    if (kind === 'guide') await comesTrue('it is saved', () => service.saved('ann', 'ai_tokens') === 400_000);
    await service.kill();
    service.usePolicy(policy);
    await service.start();
    return service;
  };

  test(`${kind}: who has used more than the new limit is at it at once`, async (context) => {
    const service = await deployed(context, 'policy_lowered.yaml');
    assert.equal((await service.customer('ann')).meters.ai_tokens.value, 400_000);
    // 1000 are left of the grant that the plan includes: they cover what goes past the limit.
    assert.deepEqual(await service.use('ann', 'ai_tokens', 101_000), { allowed: false, used: 400_000 });
    assert.deepEqual(await service.use('bob', 'ai_tokens', 301_001), { allowed: false, used: 0 });
    assert.deepEqual(await service.use('bob', 'ai_tokens', 300_000), { allowed: true, used: 300_000 });
  });

  test(`${kind}: what was used under another name does not count for the new one`, async (context) => {
    const service = await deployed(context, 'policy_renamed.yaml');
    if (kind === 'guide') assert.match(service.output, /ann has used ai_tokens, which the policy does not have/);
    assert.deepEqual(await service.use('ann', 'ai_tokens', 1), { allowed: false });
    assert.deepEqual(await service.use('ann', 'ai_input', 450_000), { allowed: true, used: 450_000 });
    await service.kill();
    service.usePolicy('policy.yaml');
    await service.start();
    // Nor is it lost.
    assert.deepEqual(await service.use('ann', 'ai_tokens', 50_000), { allowed: true, used: 450_000 });
  });

  test(`${kind}: unless the policy says what it was called`, async (context) => {
    const service = await deployed(context, 'policy_renamed_from.yaml');
    assert.deepEqual(await service.use('ann', 'ai_input', 102_000), { allowed: false, used: 400_000 });
    assert.deepEqual(await service.use('ann', 'ai_input', 100_000), { allowed: true, used: 500_000 });
  });
}
