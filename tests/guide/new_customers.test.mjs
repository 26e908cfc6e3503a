// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import { Service, comesTrue } from './program.mjs';

for (const kind of ['guide', 'store']) {
  test(`${kind}: a customer is set up once, whatever happens to the process`, async (context) => {
    const service = new Service(context, `new_customers/${kind}.ts`);
    await service.start();
    assert.deepEqual(await service.use('ann', 'ai_tokens', 400), { allowed: true, used: 400 });
    await service.use('ann', 'ai_tokens', 100);
    assert.equal(service.output.split('welcome, ann').length, 2);
    if (kind === 'guide') await comesTrue('it is saved', () => service.saved('ann', 'ai_tokens') === 500);
    await service.restart();
    assert.deepEqual(await service.use('ann', 'ai_tokens', 1), { allowed: true, used: 501 });
    const { meters, grants, plan } = await service.customer('ann');
    assert.equal(plan, 'starter');
    assert.equal(meters.subscription.value, 1);
    assert.deepEqual(Object.values(grants).map((grant) => [grant.topup, grant.value]), [['welcome', 1000]]);
    assert.ok(!service.output.includes('welcome, ann'), service.output);
    await service.use('bob', 'ai_tokens', 1);
    assert.ok(service.output.includes('welcome, bob'), service.output);
  });
}
