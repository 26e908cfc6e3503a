# SPDX-License-Identifier: Apache-2.0
"""Handlers, host functions, the log."""

import logging

import pytest

import limitr
from conftest import POLICY

HOST_POLICY = """
policy:
  credits:
    token: { price: { amount: 0.5 }, overhead_fn: cost }
    mb: {}
  exchange:
    mb: { value: 2, currency: usd, value_fn: price }
  plans:
    pro:
      default: true
      entitlements:
        chat: { limit: { credit: token, value: 100 } }
  notifications:
    big: { events: [meter-changed], fn: is_big }
"""


def test_a_handler_gets_the_type_and_a_dict(engine):
    seen = []
    engine.add_handler("test", lambda key, value: seen.append((key, value)))
    engine.allow("ann", "few", 2)
    [(key, value)] = seen
    assert key == "meter-changed" and value["customer"]["id"] == "ann"
    assert value["meter"]["value"] == 2 and value["entitlement"] == "few"


def test_a_handler_may_call_the_engine(engine):
    seen = []

    def handler(key, value):
        if value["entitlement"] == "few":
            engine.allow("ann", "chat", 5)
            seen.append(engine.value("ann", "few"))

    engine.add_handler("test", handler)
    engine.allow("ann", "few", 2)
    assert seen == [2.0] and engine.value("ann", "chat") == 5


def test_a_handler_that_raises_is_logged_and_the_others_go_on(clock):
    log, seen = [], []
    engine = limitr.Limitr(POLICY, clock=clock, log=log.append)
    engine.create_customer("ann")
    engine.add_handler("bad", lambda key, value: 1 / 0)
    engine.add_handler("good", lambda key, value: seen.append(key))
    assert engine.allow("ann", "few", 1)
    assert seen == ["meter-changed"]
    assert "handler `bad` raised" in log[0] and "ZeroDivisionError" in log[0]


def test_the_log_is_the_logger_limitr_without_another(engine, caplog):
    engine.add_handler("bad", lambda key, value: 1 / 0)
    with caplog.at_level(logging.WARNING, logger="limitr"):
        engine.allow("ann", "few", 1)
        # The engine's own messages come the same way.
        engine.create_customer("bob", alts=["x"])
        engine.create_customer("eve", alts=["x"])
    assert [record.name for record in caplog.records] == ["limitr"] * len(caplog.records)
    assert "ZeroDivisionError" in caplog.text and "eve" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_log_that_raises_changes_nothing(clock):
    def log(message):
        raise ValueError("no log")

    engine = limitr.Limitr(POLICY, clock=clock, log=log)
    engine.create_customer("bob", alts=["x"])
    engine.create_customer("eve", alts=["x"])
    assert engine.customer("eve")["alt_ids"] == []


def test_handlers_are_replaced_and_removed(engine):
    seen = []
    engine.add_handler("test", lambda key, value: seen.append("first"))
    engine.add_handler("test", lambda key, value: seen.append("second"))
    engine.increment("ann", "few")
    assert seen == ["second"]
    assert engine.remove_handler("test") and not engine.remove_handler("test")
    engine.increment("ann", "few")
    engine.add_handler("test", lambda key, value: seen.append("third"))
    engine.clear_handlers()
    engine.increment("ann", "few")
    assert seen == ["second"]


def test_a_handler_may_remove_itself(engine):
    seen = []

    def once(key, value):
        seen.append(key)
        engine.remove_handler("once")

    engine.add_handler("once", once)
    engine.increment("ann", "few")
    engine.increment("ann", "few")
    assert len(seen) == 1


def test_host_functions(clock):
    given = []

    def cost(units, event_data):
        given.append((units, event_data))
        return units * 2

    engine = limitr.Limitr(
        HOST_POLICY,
        clock=clock,
        host={
            "overhead": {"cost": cost},
            "rates": {"price": lambda: 8},
            "notifications": {"is_big": lambda key, value: value["meter"]["diff"] > 5},
        },
    )
    engine.create_customer("ann")
    seen = []
    engine.add_handler("test", lambda key, value: seen.append(key))
    decision = engine.decide("ann", "chat", 3, {"model": "m"})
    assert given == [(3.0, {"model": "m"})] and decision["overhead"] == 6
    assert seen == ["meter-changed"]
    engine.allow("ann", "chat", 6)
    assert seen == ["meter-changed", "meter-changed", "big"]
    assert given[-1] == (6.0, None)
    assert engine.credit_exchange("mb", "usd", 2) == 16


def test_a_host_function_that_raises_is_logged_and_the_policy_counts(clock):
    log = []

    def fails(*_):
        raise RuntimeError("no answer")

    host = {
        "overhead": {"cost": fails},
        "rates": {"price": lambda: "text"},
        "notifications": {"is_big": fails},
    }
    engine = limitr.Limitr(HOST_POLICY, clock=clock, host=host, log=log.append)
    engine.create_customer("ann")
    engine.add_handler("test", lambda key, value: None)
    assert engine.decide("ann", "chat", 3)["overhead"] == 0
    assert engine.credit_exchange("mb", "usd", 2) == 4
    text = "\n".join(log)
    for name in ("cost", "price", "is_big"):
        assert f"host function `{name}` raised" in text


def test_a_manual_clock(engine, clock):
    assert engine.allow("ann", "few", 3) and not engine.allow("ann", "few", 1)
    clock.advance(3600_000)
    clock.advance(1)
    assert engine.allow("ann", "few", 1)
    clock.set(7)
    assert clock.now == 7
