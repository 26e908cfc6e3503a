// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Service, atEnd, comesTrue } from './program.mjs';

const CLIENTS = 16;

/** Clients that use one each time, over and over, also while nobody answers. */
function load(service) {
  const state = { answers: [], isOver: false };
  async function client() {
    while (!state.isOver) {
      const answer = await service.use('ann', 'ai_tokens', 1).catch(() => undefined);
      if (answer) state.answers.push(answer);
      else await sleep(1);  // Nobody is there: somebody has to be let in to start it.
    }
  }
  const clients = Array.from({ length: CLIENTS }, client);
  state.end = async () => {
    state.isOver = true;
    await Promise.all(clients);
  };
  return state;
}

for (const kind of ['guide', 'store']) {
  test(`${kind}: under load no answer comes from before the state is back`, async (context) => {
    const service = new Service(context, `before_listen/${kind}.ts`);
    await service.start();
    const clients = load(service);
    atEnd(context, clients.end);
    await comesTrue('they have used something', () => clients.answers.length >= 300);
    await service.kill();
    const before = clients.answers.splice(0);
    const most = Math.max(...before.map((answer) => answer.used));
    // A snapshot may lack what was answered while it was on its way.
    const kept = kind === 'guide' ? service.saved('ann', 'ai_tokens') : most;
    assert.ok(kept > 0);
    service.launch();
    await comesTrue('they have used more', () => clients.answers.length >= 300);
    await clients.end();
    const least = Math.min(...clients.answers.map((answer) => answer.used));
    assert.ok(least > kept, `${least} was answered after ${kept} was kept`);
    // Nobody was counted twice, and nobody not at all: those that nobody answered may have counted.
    const used = (await service.customer('ann')).meters.ai_tokens.value;
    assert.ok(used >= kept + clients.answers.length, `${used} used`);
    assert.ok(used <= most + 2 * CLIENTS + clients.answers.length, `${used} used`);
  });
}
