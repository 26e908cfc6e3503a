# SPDX-License-Identifier: Apache-2.0
"""What goes in and what comes out."""

import datetime
import gc
import inspect
import json
import math
import pathlib
import weakref

import pytest

import limitr
import limitr.aio
from conftest import POLICY, START
from limitr import _calls

CLASSES = [limitr.Limitr, limitr.aio.Limitr]
# Names of scenarios for what has another name.
OTHER_NAMES = {"customer_local_margin_breakdown", "plan_sub_entitlement_name"}
RENAMED = {"from": "source"}


def test_true_and_false(engine):
    assert engine.allow("ann", "few", 3) is True
    assert engine.allow("ann", "few", 1) is False
    assert engine.check("ann", "few") is True
    assert engine.allow("bob", "few", 1) is False


def test_the_whole_decision(engine):
    assert engine.allow("ann", "few", 2, detail=True) == {
        "allowed": True,
        "repeated": False,
        "reason": None,
        "cap": None,
        "value": 2.0,
        "limit": 3.0,
        "remaining": 1.0,
        "resets": START + 3600_000,
        "overage": None,
        "grant_value_applied": None,
        "overhead": 0.0,
        "price_diff": 0.0,
        "overage_price": None,
    }
    denied = engine.decide("ann", "few", 2)
    assert (denied["allowed"], denied["reason"], denied["overage"]) == (False, "limit", 1.0)
    assert engine.check("nobody", "few", detail=True)["reason"] == "unknown_customer"
    assert engine.check("ann", "nothing", detail=True)["reason"] == "unknown_entitlement"


def test_a_decision_by_name_is_the_same_as_one_that_is_made_directly(engine):
    answers = engine.allow_many([{"id": "ann", "entitlement": "few", "value": 2}, {"id": "x", "entitlement": "few"}])
    assert answers[0].keys() == engine.decide("ann", "few").keys()
    assert answers[0]["remaining"] == 1.0 and isinstance(answers[0]["remaining"], float)
    assert answers[1]["reason"] == "unknown_customer"
    assert "few" not in answers[0]
    hold = engine.reserve("ann", "few", 1)
    settled = engine.settle("ann", "few", hold, 1, detail=True)
    assert settled.keys() == answers[0].keys() and settled["allowed"]
    assert engine.settle("ann", "few", "none", 1) is True


def test_the_calls_that_move_a_meter(engine):
    assert engine.increment("ann", "few") and engine.increment("ann", "few")
    assert engine.decrement("ann", "few") and engine.value("ann", "few") == 1.0
    assert engine.check_increment("ann", "few") and engine.check_decrement("ann", "few")
    assert engine.value("ann", "few") == 1.0
    assert engine.set("ann", "few", 3) and not engine.check_increment("ann", "few")
    assert engine.remaining("ann", "few") == 0.0


def test_options_of_a_call(engine):
    seen = []
    engine.add_handler("test", lambda key, value: seen.append((key, value)))
    assert engine.allow("ann", "few", 1, False)
    assert seen == []
    assert engine.allow("ann", "few", 1, event={"model": "m"}, overhead=2)
    assert seen[-1][1]["event_data"] == {"model": "m"}
    assert seen[-1][1]["meter"]["overhead_diff"] == 2
    assert engine.allow("ann", "few", 1, context={"n": 1})
    assert seen[-1][1]["event_data"] == {"n": 1}
    assert not engine.allow("ann", "few", 1)
    assert engine.allow("ann", "few", 1, True, None, True), "forced"
    assert engine.allow("ann", "soft", 3)
    denied = engine.decide("ann", "soft", 4, cap={"rune": 1})
    assert denied["reason"] == "cap" and denied["cap"] == {"id": None, "customer": "ann"}
    assert engine.allow("ann", "soft", 4, cap=[{"value": 2.0, "overage_only": True}])


def test_a_request_counts_once(engine):
    first = engine.decide("ann", "few", 2, request="r1")
    again = engine.decide("ann", "few", 2, request="r1")
    assert not first["repeated"] and again == {**first, "repeated": True}
    with pytest.raises(limitr.UsageError) as raised:
        engine.allow("ann", "few", 1, request="r1")
    assert raised.value.code == "request_mismatch"
    assert engine.value("ann", "few") == 2


def test_quantities(engine):
    assert engine.allow("ann", "few", "2")
    assert engine.allow("ann", "few", -2) and engine.value("ann", "few") == 0
    for value in ("7 parsecs", "", math.nan, math.inf, 10**400):
        with pytest.raises(limitr.UsageError):
            engine.allow("ann", "few", value)
    assert engine.value("ann", "few") == 0

    class Number:
        def __float__(self):
            return 2.0

    assert engine.allow("ann", "few", Number()) and engine.value("ann", "few") == 2


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda e: e.allow(1, "few"), "id"),
        (lambda e: e.allow("ann", b"few"), "entitlement"),
        (lambda e: e.allow("ann", "few", True), "value"),
        (lambda e: e.allow("ann", "few", None), "value"),
        (lambda e: e.allow("ann", "few", event=1), "event"),
        (lambda e: e.allow("ann", "few", overhead="1"), "overhead"),
        (lambda e: e.allow("ann", "few", force=1), "force"),
        (lambda e: e.allow("ann", "few", context=[]), "context"),
        (lambda e: e.allow("ann", "few", cap=3), "cap"),
        (lambda e: e.allow("ann", "few", request=3), "request"),
        (lambda e: e.allow("ann", "few", detail=1), "detail"),
        (lambda e: e.allow("ann", "few", cap={"value": object()}), "cap"),
        (lambda e: e.allow("ann"), "entitlement"),
        (lambda e: e.set("ann", "few"), "value"),
        (lambda e: e.allow("ann", "few", nothing=1), "nothing"),
        (lambda e: e.increment("ann", "few", value=1), "value"),
        (lambda e: e.decide("ann", "few", detail=True), "detail"),
        (lambda e: e.allow("ann", "few", 1, id="ann"), "id"),
        (lambda e: e.allow("ann", "few", 1, True, None, False, {}), "positional"),
        (lambda e: e.create_customer("bob", refs="ann"), "refs"),
        (lambda e: e.create_customer("bob", metadata=3), "metadata"),
        (lambda e: e.create_customer("bob", metadata={"x": object()}), "create_customer"),
        (lambda e: e.reserve("ann", "few", ttl=[]), "ttl"),
        (lambda e: e.set_customer(3), "record"),
        (lambda e: e.load_customers(3), "records"),
        (lambda e: e.set_policy(3), "policy"),
        (lambda e: e.warm("ann"), "ids"),
        (lambda e: e.add_handler("x", 3), "handler"),
        (lambda e: limitr.Limitr(3), "policy"),
        (lambda e: limitr.Limitr(POLICY, store=3), "store"),
        (lambda e: limitr.Limitr(POLICY, clock=lambda: 3), "clock"),
        (lambda e: limitr.Limitr(POLICY, log=3), "log"),
        (lambda e: limitr.Limitr(POLICY, host=3), "host"),
        (lambda e: limitr.Limitr(POLICY, host={"overheads": {}}), "overheads"),
        (lambda e: limitr.Limitr(POLICY, host={"rates": {"x": 3}}), "x"),
        (lambda e: limitr.Limitr.open_stored(3), "store"),
    ],
)
def test_a_wrong_type_is_named(engine, call, name):
    with pytest.raises(TypeError, match=name):
        call(engine)
    assert engine.allow("ann", "few", 3), "nothing has changed"


@pytest.mark.parametrize(
    "call, code, where",
    [
        (lambda e: e.allow("\ud800", "few"), "invalid_argument", "id"),
        (lambda e: e.create_customer("\ud800"), "invalid_argument", None),
        (lambda e: e.create_customer("bob", metadata={"x": math.nan}), "invalid_argument", "create_customer"),
        (lambda e: e.set_customer({"id": 3}), "record_invalid", None),
        (lambda e: limitr.Limitr(POLICY, durability="never"), "invalid_argument", "options.durability"),
        (lambda e: limitr.Limitr(POLICY, format="xml"), "invalid_argument", "format"),
        (lambda e: limitr.Limitr(POLICY, store="nowhere:"), None, None),
        (lambda e: e.create_customer_override("ann", "few", 3, datetime.datetime(2026, 1, 1)), "invalid_argument", "expires"),
        (lambda e: e.allow("ann", "few", cap={"usd": "x"}), "invalid_argument", "caps.usd"),
    ],
)
def test_bad_input_is_a_usage_error(engine, call, code, where):
    with pytest.raises(limitr.Error) as raised:
        call(engine)
    if code is not None:
        assert isinstance(raised.value, limitr.UsageError)
        assert raised.value.code == code and raised.value.message
    if where is not None:
        assert raised.value.where == where


def test_a_bad_policy_says_where():
    with pytest.raises(limitr.PolicyError) as raised:
        limitr.Limitr("policy:\n  plans:\n    pro: { entitlements: { chat: { limit: { value: 3 } } } }\n")
    problem = raised.value
    assert problem.code == "policy_invalid" and "3:" in problem.where and "plans.pro" in problem.where
    assert str(problem) == f"{problem.where}: {problem.message}"
    with pytest.raises(limitr.PolicyError) as raised:
        limitr.Limitr(POLICY, bounds={"max_bytes": 10})
    assert raised.value.code == "document_too_large"


def test_policies(engine):
    assert limitr.Limitr(json.loads(json.dumps(engine.policy()))).valid() == (True, "")
    assert limitr.validate(POLICY) == []
    issue = limitr.validate({"policy": {"plans": 3}})[0]
    assert issue["severity"] == "error" and "plans" in issue["path"]
    assert engine.difference(POLICY) == []
    other = engine.policy()
    other["policy"]["plans"]["pro"]["entitlements"]["few"]["limit"]["value"] = 5
    found = engine.difference(other)
    assert [(one["path"], one["before"], one["after"]) for one in found] == [
        ("policy.plans.pro.entitlements.few.limit.value", 3, 5)
    ]
    assert limitr.difference(POLICY, other) == found
    engine.set_policy(other)
    assert engine.limit("ann", "few") == 5
    toml = '[policy.plans.free]\ndefault = true\n[policy.plans.free.entitlements.x]\n'
    engine.set_policy(toml, "toml")
    assert engine.default_plan()["name"] == "free"
    engine.set_plan("big", {"entitlements": {"y": {}}})
    assert engine.plan("big")["name"] == "big" and engine.delete_plan("big")
    assert engine.plan("big") is None


def test_customers_and_records(engine):
    assert engine.ensure_customer("bob", "pro", "org", "Org", ["ann"], ["b"], {"x": [1, "y"]})
    assert not engine.ensure_customer("bob")
    record = engine.customer("b")
    assert (record["id"], record["type"], record["refs"]) == ("bob", "org", ["ann"])
    assert engine.customer_metadata("bob") == {"x": [1, "y"]}
    assert engine.customer("nobody") is None
    assert engine.set_alt_customer_id("ann", "a") and engine.delete_alt_customer_id("a")
    assert engine.set_customer_refs("bob", []) and engine.customer_refs("bob") == []
    moment = datetime.datetime(2026, 4, 1, tzinfo=datetime.timezone.utc)
    assert engine.create_customer_override("ann", "few", 9, moment)
    assert engine.limit_object("ann", "few")["override_expires_on"] == 1775001600000
    assert engine.remove_customer_override("ann", "few")
    everything = engine.customers()
    assert everything.keys() == {"ann", "bob"}
    other = limitr.Limitr(POLICY)
    assert other.load_customers(everything) == {"loaded": 2, "refused": [], "unmapped": []}
    assert other.load_customers(list(everything.values()))["loaded"] == 2
    assert other.load_customers(everything["ann"])["loaded"] == 1
    assert other.load_customers(json.dumps(everything))["loaded"] == 2
    assert other.customers() == everything
    third = limitr.Limitr(POLICY)
    assert third.import_state(engine.export_state())["loaded"] == 2
    assert third.fsck() == []
    assert engine.delete_customer("bob") and not engine.delete_customer("bob")
    report = other.load_customers([{"id": "eve"}, {"id": 3}])
    assert report["loaded"] == 1 and len(report["refused"]) == 1


def test_reads_are_floats_and_none(engine):
    engine.allow("ann", "few", 2)
    assert engine.value("ann", "few", True) == pytest.approx(66.666666667)
    assert isinstance(engine.limit("ann", "few"), float)
    assert engine.resets("ann", "few") == START + 3600_000
    assert engine.value("nobody", "few") is None
    assert engine.credit_exchange("token", "rune", 4) == 2.0


def test_an_engine_that_is_closed(engine):
    with engine as entered:
        assert entered is engine
    assert engine.close() == engine.close() == 0
    with pytest.raises(limitr.UsageError, match="not open"):
        limitr.Limitr.__new__(limitr.Limitr).allow("ann", "few")


def test_engines_are_collected():
    engine = limitr.Limitr(POLICY)
    engine.add_handler("circle", lambda key, value: engine.value("ann", "few"))
    seen = weakref.ref(engine)
    del engine
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize("of", CLASSES)
def test_every_call_of_the_engine_is_a_method(of):
    for name, parameters in _calls.table().items():
        if name in OTHER_NAMES:
            continue
        taken = inspect.signature(getattr(of, name)).parameters
        missing = {RENAMED.get(one, one) for one in parameters} - taken.keys()
        assert not missing, f"{name} does not take {missing}"


@pytest.mark.parametrize("of", CLASSES)
def test_every_method_says_what_it_does(of):
    for name, method in inspect.getmembers(of, callable):
        if not name.startswith("_"):
            assert method.__doc__, name
            assert inspect.signature(method) is not None, name


def test_both_classes_take_the_same():
    for name, method in inspect.getmembers(limitr.Limitr, callable):
        if name.startswith("_") or name in ("open_stored", "cloud", "add_handler", "remove_handler"):
            continue
        other = inspect.signature(getattr(limitr.aio.Limitr, name)).parameters
        assert list(inspect.signature(method).parameters) == list(other), name
        for one in list(inspect.signature(method).parameters.values())[1:]:
            assert (one.kind, one.default) == (other[one.name].kind, other[one.name].default), name


def test_the_documents_name_every_method():
    text = (pathlib.Path(__file__).parents[2] / "docs" / "python.md").read_text()
    for name, _ in inspect.getmembers(limitr.Limitr, callable):
        assert name.startswith("_") or f"`{name}" in text, name
