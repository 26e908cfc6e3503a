# SPDX-License-Identifier: Apache-2.0
"""Nothing is left behind by a million calls."""

import asyncio
import gc
import os

import limitr
import limitr.aio
from conftest import POLICY


def resident():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def grown(run, times):
    run(times // 10)  # Whatever is made once is made now.
    before = resident()
    run(times)
    return resident() - before


MEGABYTE = 1 << 20


def test_calls(engine):
    def run(times):
        for _ in range(times // 4):
            engine.allow("ann", "chat", 1)
            engine.check("ann", "chat", 1, detail=True)
            engine.allow("ann", "chat", 1, event={"x": "y"}, cap={"value": 3}, overhead=1.5)
            engine.value("ann", "chat")

    assert grown(run, 1_000_000) < 4 * MEGABYTE


def test_errors_and_handlers(engine):
    engine.add_handler("test", lambda key, value: value)

    def run(times):
        for _ in range(times):
            engine.allow("ann", "chat", 1)
            try:
                engine.allow("ann", "chat", "7 parsecs")
            except limitr.UsageError:
                pass

    assert grown(run, 50_000) < 4 * MEGABYTE


def test_engines():
    def run(times):
        for i in range(times):
            if i % 20 == 0:
                gc.collect()
            engine = limitr.Limitr(POLICY)
            engine.add_handler("circle", lambda key, value, held=engine: held)
            engine.create_customer("ann")

    assert grown(run, 500) < 8 * MEGABYTE


def test_coroutines(tmp_path):
    engine = limitr.aio.Limitr(POLICY, store=f"sqlite:{tmp_path}/a.db", durability="manual")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(engine.create_customer("ann"))

    async def many(times):
        for _ in range(times // 100):
            await asyncio.gather(*(engine.allow("ann", "chat", 1) for _ in range(100)))

    assert grown(lambda times: loop.run_until_complete(many(times)), 30_000) < 4 * MEGABYTE
    loop.run_until_complete(engine.close())
    loop.close()
