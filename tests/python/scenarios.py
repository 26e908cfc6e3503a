# SPDX-License-Identifier: Apache-2.0
"""Plays scenario files through the public API, as `limitr test` does through the engine's."""

import inspect
import json
import pathlib

import limitr

VECTORS = pathlib.Path(__file__).resolve().parent.parent / "vectors"
# A moment is exact; other numbers agree within 1e-9, and both sides were rounded before.
MOMENTS = {
    "started", "ts", "expires", "expires_on", "created_on", "granted_on", "last_reset",
    "override_expires_on", "updated", "governor_last_refill", "resets",
}
NAMES = {"customer_local_margin_breakdown": "customer_margin"}
# What a call that gives an ID says in short.
IDS = {"reserve", "add_customer_cap"}
NOTHING = {"create_customer", "ensure_included_topups", "set_customer"}
MISSING = object()


def files():
    return sorted(VECTORS.glob("scenarios/*.ndjson")) + [VECTORS / "restore.ndjson"]


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def agree(expected, actual, exact):
    if exact:
        return expected == actual
    return abs(expected - actual) <= 1.000001e-9 * max(1, abs(expected), abs(actual))


def leaf_agrees(expected, actual, path):
    if actual is MISSING:
        return expected is None
    if isinstance(expected, bool) or expected is None:
        return actual is expected
    if isinstance(expected, str):
        if isinstance(actual, dict):
            actual = actual.get("id", actual.get("name"))
        return actual == expected
    is_number = isinstance(actual, (int, float)) and not isinstance(actual, bool)
    return is_number and agree(expected, actual, path.split(".")[-1] in MOMENTS)


def compare(expected, actual, path):
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            compare(value, actual.get(key, MISSING), f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list):
        assert len(expected) == len(actual), f"{path}: {expected} != {actual}"
        for i, (one, other) in enumerate(zip(expected, actual)):
            compare(one, other, f"{path}[{i}]")
    else:
        assert leaf_agrees(expected, actual, path), f"{path}: expected {expected}, got {actual}"


def compare_grants(expected, actual, path):
    assert len(expected) == len(actual), f"{path}: {expected} != {actual}"
    left = list(actual)
    # Who names most chooses first.
    for grant in sorted(expected, key=len, reverse=True):
        for candidate in left:
            try:
                compare(grant, candidate, path)
            except AssertionError:
                continue
            left.remove(candidate)
            break
        else:
            raise AssertionError(f"{path}: no grant {grant} in {actual}")


def compare_state(expected, customers, now):
    assert expected.keys() == customers.keys(), "state"
    for id, wanted in expected.items():
        got = customers[id]
        for meter in got["meters"].values():
            meter["held"] = sum(hold["value"] for hold in (meter.get("holds") or {}).values())
        got["caps"] = {
            name: cap
            for name, cap in got["caps"].items()
            if cap.get("expires_on") is None or cap["expires_on"] >= now
        }
        for part, value in wanted.items():
            path = f"state.{id}.{part}"
            if part == "grants":
                compare_grants(value, list(got["grants"].values()), path)
                continue
            if part in ("meters", "overrides", "caps"):
                assert value.keys() == got[part].keys(), path
            compare(value, got[part], path)


class Player:
    """Plays one scenario. `call` makes a call of the engine: at once, or in an event loop."""

    def __init__(self, scenario, open_engine, call):
        self.scenario = scenario
        self.call = call
        self.clock = limitr.ManualClock(scenario["steps"][0]["at"])
        self.engine = open_engine(scenario["policy"], clock=self.clock)
        self.events = []
        self.holds = {}
        self.engine.add_handler("test", lambda key, value: self.events.append({**value, "type": key}))
        if "customers" in scenario:
            report = self.make("load_customers", {"records": scenario["customers"]})
            assert not report["refused"]

    def make(self, name, arguments):
        name = NAMES.get(name, name)
        arguments = dict(arguments)
        if "from" in arguments:
            arguments["source"] = arguments.pop("from")
        if name in ("settle", "release"):
            arguments["hold"] = self.holds.get(arguments["hold"], arguments["hold"])
        return self.call(getattr(self.engine, name), arguments)

    def play(self):
        for number, step in enumerate(self.scenario["steps"], 1):
            try:
                self.play_step(step)
            except AssertionError as problem:
                where = f"{self.scenario['name']}, step {number} {step['call']} {step['args']}"
                raise AssertionError(f"{where}: {problem}") from None
        if self.scenario["state"] is not None:
            self.compare_end()

    def play_step(self, step):
        self.clock.set(step["at"])
        name, expected = step["call"], step.get("expect", MISSING)
        arguments = dict(step["args"])
        wants_detail = isinstance(expected, dict) and name in ("allow", "check")
        if wants_detail:
            arguments["detail"] = True
        self.events.clear()
        try:
            answer = self.make(name, arguments)
        except limitr.UsageError as problem:
            # Nobody is on no plan: where a plan is missing, nothing is created.
            assert expected is False and problem.code == "no_plan", problem
        else:
            self.compare_answer(name, expected, answer)
        if "events" in step:
            types = [event["type"] for event in self.events]
            assert types == [event["type"] for event in step["events"]]
            compare(step["events"], self.events, "events")

    def compare_answer(self, name, expected, answer):
        if expected is MISSING:
            return
        if name == "reserve" and isinstance(expected, str):
            assert isinstance(answer, str)
            self.holds[expected] = answer
        elif name in IDS and isinstance(expected, bool):
            assert (answer is not None) == expected
        elif name in NOTHING and expected in (None, True):
            assert answer is None
        else:
            compare(expected, answer, "resets" if name == "resets" else "answer")

    def compare_end(self):
        # A state is expected as it is after every grant was looked at.
        for id, record in self.make("customers", {}).items():
            for grant in list(record["grants"].values())[:1]:
                self.make("credit_remaining", {"id": id, "credit": grant.get("credit", "rune")})
        compare_state(self.scenario["state"], self.make("customers", {}), self.clock.now)


def call_now(method, arguments):
    assert not inspect.iscoroutinefunction(method)
    return method(**arguments)
