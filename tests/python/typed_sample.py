# SPDX-License-Identifier: Apache-2.0
"""What mypy --strict is shown: every method, in both classes."""

import datetime
from typing import Any, Dict, List, Optional, Tuple, Union

import limitr
from limitr import aio
from limitr.types import Decision, Estimate, Finding, LoadReport, Margin, MeasuredMargin


def use(e: limitr.Limitr) -> None:
    allowed: bool = e.allow("ann", "chat", 1)
    decision: Decision = e.allow("ann", "chat", "2 MB", detail=True)
    remaining: Optional[float] = decision["remaining"]
    resets: Optional[int] = decision["resets"]
    reason: Optional[str] = e.decide("ann", "chat", 1, {"model": "m"}, 2.5, True)["reason"]
    allowed = e.check("ann", "chat", cap={"usd": 3}, request="r", context={"x": 1})
    allowed = e.set("ann", "chat", 3, cap=[{"value": 1.0}])
    allowed = e.increment("ann", "chat") and e.decrement("ann", "chat", False)
    allowed = e.check_increment("ann", "chat") and e.check_decrement("ann", "chat")
    decision = e.increment("ann", "chat", detail=True)
    decisions: List[Decision] = e.allow_many([{"id": "ann", "entitlement": "chat"}])
    hold: Optional[str] = e.reserve("ann", "chat", 3, ttl="1hour", basis=1, segment="s")
    settled: bool = e.settle("ann", "chat", hold or "", 2)
    decision = e.settle("ann", "chat", hold or "", 2, detail=True)
    released: bool = e.release("ann", "chat", "hold", request="r")
    held: float = e.held("ann", "chat")
    estimate: Optional[Estimate] = e.estimate("ann", "chat", quantile=0.5)
    observed: bool = e.observe("ann", "chat", 3, overhead=1)
    e.create_customer("ann", "pro", "user", "Ann", ["org"], ["a"], {"x": 1})
    ensured: bool = e.ensure_customer("ann", plan="pro")
    record: Optional[Dict[str, Any]] = e.customer("ann")
    e.set_customer(record or {}, event=False)
    ensured = e.ensure_set_customer(record or {})
    refs: Optional[List[str]] = e.customer_refs("ann")
    metadata: Optional[Dict[str, Any]] = e.customer_metadata("ann")
    changed: bool = e.set_customer_refs("ann", ["org"]) and e.delete_customer("ann")
    changed = e.set_alt_customer_id("ann", "a") and e.delete_alt_customer_id("a")
    changed = e.set_customer_plan("ann", "pro", True, request="r")
    changed = e.create_customer_override("ann", "chat", 3, datetime.datetime.now(), mode="soft")
    changed = e.remove_customer_override("ann", "chat") and e.apply_customer_topup("ann", "pack")
    e.ensure_included_topups("ann")
    changed = e.ensure_plan_subscription("ann")
    everything: Dict[str, Dict[str, Any]] = e.customers()
    report: LoadReport = e.load_customers(everything)
    report = e.import_state(e.export_state())
    findings: List[Finding] = e.fsck()
    e.warm(["ann"])
    e.flush()
    cap: Optional[str] = e.add_customer_cap("ann", 3, credit="usd", scope=["chat"])
    found: Optional[Dict[str, Any]] = e.customer_cap("ann", cap or "")
    changed = e.reset_customer_cap("ann", "c") and e.remove_customer_cap("ann", "c")
    margin: Optional[Margin] = e.customer_margin("ann")
    margin = e.plan_margin("pro", {"chat": 3}, scaled=False)
    changed = e.start_margin_measurement("ann", "m")
    measured: Optional[MeasuredMargin] = e.capture_margin_measurement("ann", "m")
    number: Optional[float] = e.value("ann", "chat", percent=True, grants=False)
    number = e.remaining("ann", "chat")
    number = e.limit("ann", "chat")
    number = e.allowance("ann", "chat")
    number = e.cost("ann", "chat")
    resets = e.resets("ann", "chat")
    rate: float = e.rate("ann", "chat") + e.acceleration("ann", "chat")
    number = e.projected_exhaustion("ann", "chat", smoothed=True)
    number = e.credit_exchange("token", "usd", 2)
    number = e.credit_remaining("ann", "token")
    found = e.meter("ann", "chat") or e.limit_object("ann", "chat") or e.entitlement("ann", "chat")
    found = e.plan("pro") or e.default_plan() or e.credit("token") or e.credit_for("ann", "chat")
    period: Optional[str] = e.plan_period("pro") or e.plan_subscription_entitlement("pro")
    trial: Optional[int] = e.plan_trial_period("pro")
    document: Dict[str, Any] = e.policy()
    e.set_policy(document)
    e.set_policy("", "toml")
    e.set_plan("pro", {})
    changed = e.delete_plan("pro")
    e.set_notifications({})
    differences: List[Dict[str, Any]] = e.difference(document)
    valid: Tuple[bool, str] = e.valid()
    e.add_handler("test", lambda key, value: print(key.upper(), value["customer"]))
    changed = e.remove_handler("test")
    e.clear_handlers()
    version: str = e.version()
    written: int = e.close()


def open_them() -> limitr.Limitr:
    clock = limitr.ManualClock(3)
    clock.set(4)
    clock.advance(clock.now)
    try:
        with limitr.Limitr(
            {"policy": {}},
            store="sqlite:limitr.db",
            durability="interval",
            shared=False,
            max_loaded=1000,
            host={"overhead": {"cost": lambda units, data: units * 2}, "rates": {"r": lambda: 1.0}},
            clock=clock,
            log=print,
        ) as engine:
            use(engine)
    except limitr.PolicyError as problem:
        print(problem.code, problem.message, problem.where)
    except (limitr.UsageError, limitr.StoreError, limitr.CloudError, limitr.Error):
        raise
    for issue in limitr.validate(""):
        print(issue["path"], issue["line"])
    limitr.difference("", {}, "json")
    with limitr.Limitr.cloud(
        "token", address="https://limitr.example", policy="3", connect_timeout=100,
        deny_unconnected=False, room=0.05, ca_file="ca.pem", local_file="use", log=print,
    ) as engine:
        use(engine)
    return limitr.Limitr.open_stored("sqlite:limitr.db")


async def use_coroutines() -> None:
    async with await aio.Limitr.open({}, store="sqlite:limitr.db") as e:
        allowed: bool = await e.allow("ann", "chat", 1)
        decision: Decision = await e.decide("ann", "chat")
        decision = await e.check("ann", "chat", detail=True)
        allowed = await e.set("ann", "chat", 3) and await e.increment("ann", "chat")
        allowed = await e.decrement("ann", "chat") and await e.check_increment("ann", "chat")
        allowed = await e.check_decrement("ann", "chat")
        settled: Union[bool, Decision] = await e.settle("ann", "chat", "hold", 2)
        record: Optional[Dict[str, Any]] = await e.customer("ann")
        report: LoadReport = await e.load_customers(await e.customers())
        number: Optional[float] = await e.value("ann", "chat")
        await e.create_customer("ann")
        await e.flush()
        e.add_handler("test", lambda key, value: None)
    again = await aio.Limitr.open_stored("sqlite:limitr.db")
    written: int = await again.close()
