# SPDX-License-Identifier: Apache-2.0
"""Processes: that die, that end, that fork, and that share a store."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap

import pytest

import limitr
from conftest import POLICY


def program(text, *args):
    """A program of its own, which has POLICY; what it prints is read line by line."""
    begin = f"import sys, os, limitr\nPOLICY = {POLICY!r}\n"
    return subprocess.Popen(
        [sys.executable, "-c", begin + textwrap.dedent(text), *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def outcome(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (process.returncode, err)
    return out, err


@pytest.mark.parametrize("store", ["sqlite:{}/a.db", "file:{}/a.log"])
def test_what_was_answered_outlives_a_kill(store, tmp_path):
    store = store.format(tmp_path)
    process = program(
        """
        engine = limitr.Limitr(POLICY, store=sys.argv[1])
        engine.create_customer('ann')
        while True:
            engine.allow('ann', 'chat', 1)
            print(engine.value('ann', 'chat'), flush=True)
        """,
        store,
    )
    for _ in range(20):
        seen = float(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    seen = max([seen, *(float(line) for line in process.stdout.read().split("\n")[:-1])])
    process.communicate()
    engine = limitr.Limitr.open_stored(store)
    # One more may have been safe and not told.
    assert engine.value("ann", "chat") in (seen, seen + 1)
    assert engine.fsck() == []
    engine.close()


def test_a_program_that_ends_loses_nothing(tmp_path):
    """It does not close, and a thread keeps the engine to the end; nothing but close() writes."""
    store = f"sqlite:{tmp_path}/a.db"
    outcome(
        program(
            """
            engine = limitr.Limitr(POLICY, store=sys.argv[1], durability='manual')
            engine.create_customer('ann')
            for _ in range(100): engine.allow('ann', 'chat', 1)
            import threading
            wait = threading.Event().wait
            threading.Thread(target=lambda kept: wait(), args=(engine,), daemon=True).start()
            """,
            store,
        )
    )
    engine = limitr.Limitr.open_stored(store)
    assert engine.value("ann", "chat") == 100
    engine.close()


@pytest.mark.parametrize("how", ["", "sys.exit(0)", "del engine", "engine.close()"])
def test_a_program_ends_with_open_engines_and_threads_that_use_them(how, tmp_path):
    out, err = outcome(
        program(
            f"""
            import threading, asyncio
            engine = limitr.Limitr(POLICY, store='sqlite:' + sys.argv[1])
            other = limitr.Limitr(POLICY)
            for one in (engine, other):
                one.create_customer('ann')
                one.add_handler('test', lambda key, value: one.value('ann', 'chat'))
            started = threading.Event()
            def use(one):
                while True:
                    try:
                        one.allow('ann', 'chat', 1)
                    except limitr.Error:
                        return
                    started.set()
            for one in (engine, other):
                threading.Thread(target=use, args=(one,), daemon=True).start()
            started.wait()
            {how}
            """,
            tmp_path / "a.db",
        )
    )
    assert "Traceback" not in err and "terminate" not in err


def test_a_fork_is_told_what_to_do(engine):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            engine.allow("ann", "few", 1)
        except limitr.UsageError as problem:
            os.write(writing, str(problem).encode())
        try:
            engine.value("ann", "few")
        except limitr.UsageError:
            os.write(writing, b"\n")
        mine = limitr.Limitr(POLICY)
        mine.create_customer("ann")
        os.write(writing, b"works" if mine.allow("ann", "few", 1) else b"fails")
        os._exit(0)
    os.close(writing)
    with open(reading) as told:
        text = told.read()
    assert os.waitpid(child, 0)[1] == 0
    assert "open an engine in each process" in text and "shared=True" in text
    assert text.endswith("\nworks")
    assert engine.allow("ann", "few", 3)


def test_a_fork_that_ends_by_itself_does_not_touch_the_store(tmp_path):
    store = f"sqlite:{tmp_path}/a.db"
    out, err = outcome(
        program(
            """
            engine = limitr.Limitr(POLICY, store=sys.argv[1])
            engine.create_customer('ann')
            child = os.fork()
            if child == 0:
                del engine
                sys.exit(0)
            print(os.waitpid(child, 0)[1], engine.allow('ann', 'chat', 1))
            """,
            store,
        )
    )
    # Newer versions of Python warn of any fork beside threads.
    assert out == "0 True\n" and "Traceback" not in err


def work(policy, store, number):
    engine = limitr.Limitr(policy, store=store, shared=True)
    allowed = sum(engine.allow("ann", "few", 1) for _ in range(number))
    engine.close()
    return allowed


@pytest.mark.parametrize("kind", ["redis_url", "postgres_url"])
def test_processes_share_a_store(kind, request):
    store = request.getfixturevalue(kind)
    first = limitr.Limitr(POLICY, store=store, shared=True)
    first.create_customer("ann")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        allowed = pool.starmap(work, [(POLICY, store, 4)] * 3)
    assert sum(allowed) == 3
    assert first.value("ann", "few") == 3 and not first.allow("ann", "few", 1)
    first.close()


def test_a_store_has_one_owner(tmp_path):
    store = f"sqlite:{tmp_path}/a.db"
    engine = limitr.Limitr(POLICY, store=store)
    process = program(
        """
        try:
            limitr.Limitr(POLICY, store=sys.argv[1])
        except limitr.StoreError as problem:
            print(problem.code)
        """,
        store,
    )
    assert outcome(process)[0] == "store_owned\n"
    engine.close()


def test_a_store_that_is_gone_is_a_store_error():
    with pytest.raises(limitr.StoreError) as raised:
        limitr.Limitr(POLICY, store="redis:///0?socket=/nowhere/redis.sock")
    assert raised.value.code == "store_unavailable"


def test_the_log_works_where_nothing_is_imported_any_more():
    # As in the middle of an import, or when Python is taken apart.
    out, err = outcome(program("""
        import builtins
        engine = limitr.Limitr(POLICY)
        engine.add_handler("h", lambda key, value: 1 / 0)

        def refuse(*args, **kwargs):
            raise ImportError("nothing is imported any more")

        builtins.__import__ = refuse
        engine.ensure_customer("ann")
        print("ended")
        """))
    assert out == "ended\n"
    assert "handler `h` raised" in err and "ZeroDivisionError" in err
    assert "nothing is imported" not in err
