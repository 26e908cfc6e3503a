#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the Python package takes, beside its peer in the same run.

    bench/run.py [--json] [--quick] [NAME...]

    python_allow    allow() without a store; beside it `limits` of PyPI, in memory
    python_threads  two threads that wait for a store (SQLite, sync); beside them one thread
    import_time     `import limitr`

Ours and the comparator run in turn; each pair gives one ratio, and the median of the ratios is
what counts. Answers are compared before a time is kept. --quick checks the answers: its times mean
nothing.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from limitr import Limitr

POLICY = """
policy:
  credits: { message: {} }
  plans:
    pro: { default: true, entitlements: { chat: { limit: { credit: message, value: LIMIT, resets: true, reset_inc: 1hour } } } }
"""


def seconds(run):
    start = time.perf_counter()
    answers = run()
    return time.perf_counter() - start, answers


def in_turn(pairs, ours, peer):
    """Pairs of (ours, peer), after one that is not kept; the answers of both are the same."""
    figures = []
    for _ in range(pairs + 1):
        (own, own_answers), (other, other_answers) = ours(), peer()
        if own_answers != other_answers:
            sys.exit(f"{own_answers} where {other_answers} was expected")
        figures.append((own, other))
    return figures[1:]


def row(name, value, unit, better, goal, runs, comparator=None, ratio=None):
    of, op, number = goal
    figure = ratio if of == "ratio" else value
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "better": better,
        "comparator": comparator,
        "ratio": ratio,
        "goal": {"op": op, "number": number, "of": of},
        "met": figure <= number if op == "<=" else figure >= number,
        "runs": runs,
    }


def python_allow(quick):
    import limits
    import limits.storage
    import limits.strategies

    # Half of the calls are denied, on both sides the same.
    calls = 200 if quick else 100_000
    item = limits.RateLimitItemPerHour(calls // 2, namespace="chat")

    def ours():
        limitr = Limitr(POLICY.replace("LIMIT", str(calls // 2)))
        limitr.ensure_customer("ann")
        allow = limitr.allow

        def run():
            allowed = 0
            for _ in range(calls):
                if allow("ann", "chat", 1):
                    allowed += 1
            return allowed

        return seconds(run)

    def peer():
        limiter = limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage())
        hit = limiter.hit

        def run():
            allowed = 0
            for _ in range(calls):
                if hit(item, "ann"):
                    allowed += 1
            return allowed

        return seconds(run)

    pairs = in_turn(1 if quick else 9, ours, peer)
    return row(
        "python_allow", statistics.median(own for own, _ in pairs) / calls * 1e6, "us/call", "lower",
        ("value", "<=", 0.5), len(pairs),
        {"name": "limits, in memory", "value": statistics.median(other for _, other in pairs) / calls * 1e6},
        statistics.median(own / other for own, other in pairs),
    )


def python_threads(quick):
    calls = 20 if quick else 500

    def rate(limitr, threads):
        def run(i):
            for _ in range(calls):
                limitr.allow(f"u{i}", "chat", 1)

        running = [threading.Thread(target=run, args=(i,)) for i in range(threads)]
        start = time.perf_counter()
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return calls * threads / (time.perf_counter() - start)

    with tempfile.TemporaryDirectory() as folder:
        with Limitr(POLICY.replace("LIMIT", "1000000000"), store=f"sqlite:{folder}/a.db") as limitr:
            for i in range(2):
                limitr.ensure_customer(f"u{i}")
            pairs = in_turn(1 if quick else 9, lambda: (rate(limitr, 2), True), lambda: (rate(limitr, 1), True))
            runs = 2 if quick else 10
            if limitr.value("u0", "chat") != 2 * calls * runs or limitr.value("u1", "chat") != calls * runs:
                sys.exit("calls were lost")
    return row(
        "python_threads", statistics.median(own for own, _ in pairs), "calls/s", "higher",
        ("ratio", ">=", 1.8), len(pairs),
        {"name": "one thread", "value": statistics.median(other for _, other in pairs)},
        statistics.median(own / other for own, other in pairs),
    )


def import_time(quick):
    def started(statement):
        begin = "import time; start = time.perf_counter(); "
        end = "; print((time.perf_counter() - start) * 1000)"
        done = subprocess.run([sys.executable, "-c", begin + statement + end], capture_output=True, text=True, check=True)
        return float(done.stdout)

    runs = 1 if quick else 9
    started("import limitr")
    took = statistics.median(started("import limitr") for _ in range(runs))
    return row("import_time", took, "ms", "lower", ("value", "<=", 50), runs)


BENCHES = {bench.__name__: bench for bench in (python_allow, python_threads, import_time)}


def line(made):
    peer, ratio = made["comparator"], made["ratio"]
    beside = f"{peer['name']} {peer['value']:.4g}" if peer else ""
    goal = f"{made['goal']['of']} {made['goal']['op']} {made['goal']['number']}"
    return (
        f"{made['name']:<15} {made['value']:>10.4g} {made['unit']:<8} {beside:<26} "
        f"{'' if ratio is None else format(ratio, '.3g'):>7}  {goal:<14} {'met' if made['met'] else 'missed'}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    unknown = set(given.names) - BENCHES.keys()
    if unknown:
        parser.error(f"no bench {', '.join(sorted(unknown))} (known: {', '.join(BENCHES)})")
    rows = []
    for name in given.names or BENCHES:
        rows.append(BENCHES[name](given.quick))
        if not given.json:
            print(line(rows[-1]), flush=True)
    if given.json:
        print(json.dumps({"results": rows}))


if __name__ == "__main__":
    main()
