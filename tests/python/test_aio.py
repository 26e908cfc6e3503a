# SPDX-License-Identifier: Apache-2.0
"""limitr.aio."""

import asyncio
import threading

import pytest

import limitr
from conftest import POLICY
from limitr.aio import Limitr


def test_without_a_store():
    async def run():
        async with Limitr(POLICY) as engine:
            await engine.create_customer("ann")
            assert await engine.allow("ann", "few", 3) is True
            assert await engine.allow("ann", "few", 1) is False
            assert (await engine.decide("ann", "few", 1))["reason"] == "limit"
            assert await engine.check("ann", "few", detail=True)
            assert await engine.set("ann", "few", 1)
            assert await engine.increment("ann", "few") and await engine.decrement("ann", "few")
            assert await engine.check_increment("ann", "few")
            assert await engine.check_decrement("ann", "few", context={"x": 1})
            assert (await engine.valid())[0] and await engine.difference(POLICY) == []
            assert engine.version() == limitr.__version__

    asyncio.run(run())


def test_with_a_store(tmp_path):
    store = f"sqlite:{tmp_path}/a.db"

    async def run():
        engine = await Limitr.open(POLICY, store=store)
        await engine.create_customer("ann")
        answers = await asyncio.gather(*(engine.allow("ann", "chat", 1) for _ in range(3000)))
        assert all(answers) and await engine.value("ann", "chat") == 3000
        # In the order in which they were made.
        answers = await asyncio.gather(*(engine.allow("ann", "few", 1) for _ in range(5)))
        assert answers == [True, True, True, False, False]
        decision = await engine.decide("ann", "few", 1, request="r")
        assert decision["reason"] == "limit" and isinstance(decision["remaining"], float)
        assert (await engine.check("ann", "few", 0, detail=True)).keys() == decision.keys()
        assert await engine.set("ann", "few", 1, context={"x": 1})
        assert await engine.increment("ann", "few", {"x": 1}) and await engine.decrement("ann", "few")
        denied = await engine.decide("ann", "soft", 9, cap={"rune": 1})
        assert denied["cap"] == {"id": None, "customer": "ann"}
        # What comes after them sees calls that nobody has waited for.
        calls = [asyncio.ensure_future(engine.allow("ann", "chat", 1)) for _ in range(500)]
        await asyncio.sleep(0)
        assert (await engine.customers())["ann"]["meters"]["chat"]["value"] == 3500
        assert all(await asyncio.gather(*calls)) and await engine.allow("ann", "chat", -500)
        await engine.flush()
        assert (await engine.load_customers(await engine.customers()))["loaded"] == 1
        assert await engine.close() > 0
        again = await Limitr.open_stored(store)
        assert await again.value("ann", "chat") == 3000
        await again.close()

    asyncio.run(run())


def test_what_fails_raises_where_it_is_awaited(tmp_path):
    async def run():
        engine = await Limitr.open(POLICY, store=f"sqlite:{tmp_path}/a.db")
        await engine.create_customer("ann")
        with pytest.raises(limitr.UsageError) as raised:
            await engine.allow("ann", "few", "7 parsecs")
        assert raised.value.code == "invalid_value"
        with pytest.raises(limitr.UsageError):
            await engine.set_customer({"id": 3})
        with pytest.raises(TypeError, match="id"):
            await engine.allow(3, "few")
        with pytest.raises(TypeError, match="refs"):
            await engine.create_customer("ann", refs=3)
        with pytest.raises(limitr.PolicyError):
            await engine.set_policy("policy: { plans: 3 }")
        await engine.close()
        with pytest.raises(limitr.StoreError):
            await engine.create_customer("bob")

    asyncio.run(run())


def test_the_event_loop_goes_on_while_a_store_does_not(redis, redis_url):
    async def run():
        engine = await Limitr.open(POLICY, store=redis_url)
        await engine.create_customer("ann")
        redis.stop_still()
        try:
            calls = [asyncio.ensure_future(engine.allow("ann", "chat", 1)) for _ in range(100)]
            named = asyncio.ensure_future(engine.create_customer("bob"))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not any(call.done() for call in calls)
            calls[7].cancel()
        finally:
            redis.go_on()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await named
        assert isinstance(answers[7], asyncio.CancelledError)
        assert answers.count(True) == 99
        # Whoever cancels does not wait for the answer; the call was made.
        assert await engine.value("ann", "chat") == 100
        await engine.close()

    asyncio.run(run())


def test_several_event_loops_use_one_engine(tmp_path):
    engine = Limitr(POLICY, store=f"sqlite:{tmp_path}/a.db")
    asyncio.run(engine.create_customer("ann"))

    async def many():
        assert all(await asyncio.gather(*(engine.allow("ann", "chat", 1) for _ in range(200))))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asyncio.run(engine.value("ann", "chat")) == 800
    asyncio.run(engine.close())


def test_an_event_loop_that_ends_first_loses_no_call(redis, redis_url):
    engine = Limitr(POLICY, store=redis_url)
    asyncio.run(engine.create_customer("ann"))

    async def leave():
        redis.stop_still()
        for _ in range(50):
            asyncio.ensure_future(engine.allow("ann", "chat", 1))
        await asyncio.sleep(0)

    try:
        asyncio.run(leave())
    finally:
        redis.go_on()
    assert asyncio.run(engine.value("ann", "chat")) == 50
    asyncio.run(engine.close())


def test_handlers_run_outside_of_the_event_loop(tmp_path):
    async def run():
        engine = await Limitr.open(POLICY, store=f"sqlite:{tmp_path}/a.db")
        await engine.create_customer("ann")
        loop, seen = asyncio.get_running_loop(), asyncio.Queue()
        engine.add_handler("test", lambda key, value: loop.call_soon_threadsafe(seen.put_nowait, key))
        assert await engine.allow("ann", "few", 1)
        assert await seen.get() == "meter-changed"
        assert engine.remove_handler("test")
        engine.clear_handlers()
        await engine.close()

    asyncio.run(run())
