# SPDX-License-Identifier: Apache-2.0
"""Threads of one process."""

import os
import threading

import limitr
from conftest import POLICY


def together(count, run):
    failed = []

    def guarded(i):
        try:
            run(i)
        except BaseException as problem:
            failed.append(problem)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_no_call_is_lost(engine):
    together(8, lambda i: [engine.allow("ann", "chat", 1) for _ in range(2000)])
    assert engine.value("ann", "chat") == 16000


def test_a_limit_holds(engine):
    answers = [[] for _ in range(8)]
    together(8, lambda i: answers[i].extend(engine.allow("ann", "few", 1) for _ in range(100)))
    assert sum(sum(one) for one in answers) == 3


def test_handlers_of_many_threads_run_in_the_order_of_the_changes(engine):
    """A call may wait for the handlers of another thread, which need the GIL."""
    seen = []
    sink = os.open(os.devnull, os.O_WRONLY)

    def handler(key, value):
        os.write(sink, b"x")  # This gives the GIL to the others, who then wait for this handler.
        seen.append(value["meter"]["value"])

    engine.add_handler("test", handler)
    together(8, lambda i: [engine.allow("ann", "chat", 1) for _ in range(300)])
    os.close(sink)
    assert seen == list(range(1, 2401))


def test_handlers_come_and_go_while_calls_are_made(engine):
    def run(i):
        for n in range(200):
            engine.allow("ann", "chat", 1)
            if i == 0:
                engine.add_handler("test", lambda key, value: None)
            elif i == 1:
                engine.remove_handler("test")
            elif i == 2:
                engine.customers()

    together(6, run)
    assert engine.value("ann", "chat") == 1200


def test_engines_are_opened_and_dropped_while_their_handlers_run():
    def run(i):
        for _ in range(20):
            engine = limitr.Limitr(POLICY)
            engine.add_handler("test", lambda key, value, held=engine: held.value("ann", "few"))
            engine.create_customer("ann")
            engine.allow("ann", "few", 1)
            del engine

    together(4, run)


def test_who_waits_for_a_store_holds_nobody_up(redis, redis_url):
    engine = limitr.Limitr(POLICY, store=redis_url)
    engine.create_customer("ann")
    answers = []
    redis.stop_still()
    try:
        waiting = threading.Thread(target=lambda: answers.append(engine.allow("ann", "chat", 1)))
        waiting.start()
        # This thread goes on, or it could not let the server go on.
        assert sum(range(10000)) and answers == []
    finally:
        redis.go_on()
    waiting.join()
    assert answers == [True]
    engine.close()
