# SPDX-License-Identifier: Apache-2.0
"""The recorded answers of the reference engine, all of them, through the public API."""

import asyncio

import pytest

import limitr
import limitr.aio
import scenarios

FILES = pytest.mark.parametrize("path", scenarios.files(), ids=lambda path: path.stem)


@FILES
def test_every_answer_is_the_recorded_one(path):
    for scenario in scenarios.read(path):
        scenarios.Player(scenario, limitr.Limitr, scenarios.call_now).play()


@FILES
def test_every_answer_of_a_coroutine_is_the_recorded_one(path, tmp_path):
    """With a store: every call is made on the engine's own threads."""
    loop = asyncio.new_event_loop()

    def open_engine(policy, clock):
        store = f"sqlite:{tmp_path}/{len(list(tmp_path.iterdir()))}.db"
        return limitr.aio.Limitr(policy, store=store, durability="manual", clock=clock)

    async def awaited(coroutine):
        return await coroutine

    for scenario in scenarios.read(path):
        player = scenarios.Player(
            scenario, open_engine, lambda method, given: loop.run_until_complete(awaited(method(**given)))
        )
        player.play()
        loop.run_until_complete(player.engine.close())
    loop.close()


def test_there_are_as_many_as_were_recorded():
    """A reader that passes over lines would find nothing wrong."""
    played = [scenario for path in scenarios.files()[:-1] for scenario in scenarios.read(path)]
    assert len(played) == 454
    assert sum(len(scenario["steps"]) for scenario in played) == 14255
