# SPDX-License-Identifier: Apache-2.0
"""Limits hold whatever happens to processes and networks: engines and `limitr serve` as real
processes, a proxy of ours between them, and signals.

    tests/cloud/faults_test.py PROGRAM CLIENT POSTGRES_BIN [TEST...]

LIMITR_SEED replays what a run printed (faults, not the machine's timing); LIMITR_ROUNDS runs that
many seeds of each test that draws, instead of one; LIMITR_ENGINES come back at once, instead of 100.
"""

import concurrent.futures
import itertools
import json
import os
import pathlib
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections import Counter

from cloud_client import PATIENCE, POLICY, Postgres, Server, wait_until
from faulty_proxy import DOWN, UP, Fate, Proxy

PROGRAM = CLIENT = POSTGRES_BIN = ""
LEASE = 1.0
ROUNDS = int(os.environ.get("LIMITR_ROUNDS", "1"))
ENGINES = int(os.environ.get("LIMITR_ENGINES", "100"))


def seeds():
    if "LIMITR_SEED" in os.environ:
        return [int(os.environ["LIMITR_SEED"])]
    return [random.SystemRandom().randrange(1 << 32) for _ in range(ROUNDS)]


class Engine:
    """An engine as a process. What it has answered is counted, whatever becomes of it."""

    def __init__(self, address, token, folder, room=0.01, timeout=5000, local_file=None):
        self.log = open(pathlib.Path(folder) / "engines.log", "ab")
        self.process = subprocess.Popen(
            [CLIENT, address, token, str(room), str(timeout)] + [local_file] * bool(local_file),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1)
        self.answers = queue.Queue()
        self.customer = None  # whom it is being asked about
        # By customer; `under_way`: calls of which nobody knows, once it was killed.
        self.allowed, self.unknown, self.made, self.under_way = (Counter() for _ in range(4))
        self.errors = Counter()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            line = line.strip()
            self.allowed[self.customer] += line == "allowed"
            self.made[self.customer] += line == "true"
            if line.startswith("error"):
                self.errors[line.split()[1]] += 1
                self.unknown[self.customer] += line.split()[1] == "outcome_unknown"
            self.answers.put(line)
        self.answers.put(None)

    def opened(self):
        """Whether it is; else it has ended."""
        self.said = self.answer()
        return self.said == "open"

    def tell(self, *words):
        try:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it was killed, and its answers end

    def answer(self, patience=2 * PATIENCE):
        """The next line; None: there are no more."""
        line = self.answers.get(timeout=patience)
        if line is None:
            self.answers.put(None)
        return line

    def ask(self, *words):
        self.customer = words[1] if len(words) > 1 else None
        self.tell(*words)
        return self.answer()

    def burst(self, customer, count, threads=1):
        """The answers, as many as there are before it ends."""
        self.customer = customer
        self.under_way[customer] += min(count, threads)
        self.tell("burst", customer, "chat", count, threads)
        answers = []
        while (line := self.answer()) not in (None, "done"):
            answers.append(line)
        if line == "done":
            self.under_way[customer] -= min(count, threads)
        return answers

    def signal(self, which):
        if self.process.poll() is None:
            self.process.send_signal(which)

    def end(self, how=None):
        """Kills it, or lets it go by itself."""
        if how:
            self.signal(how)
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.process.stdout.close()
        self.log.close()

    def __del__(self):
        if self.process.poll() is None:
            self.process.kill()


class Row:
    """A customer as the server has it."""

    def __init__(self, row):
        record = row["record"]
        self.value = record.get("meters", {}).get("chat", {}).get("value", 0)
        cloud = record.get("cloud", {})
        self.has_home = "home" in cloud
        self.room = self.units(cloud.get("home", {}))
        self.doubt = sum(self.units(one) for one in cloud.get("doubts", []))
        self.engines = {one["engine"] for one in cloud.get("doubts", [])}
        if self.has_home:
            self.engines.add(cloud["home"]["engine"])

    @staticmethod
    def units(entry):
        room = entry.get("room", {}).get("meters", {})
        return room.get("chat", {}).get("units", 0)

    def __str__(self):
        return f"value {self.value}, in doubt {self.doubt}, room of a home {self.room}"


class FaultsTest(unittest.TestCase):
    readers = itertools.count()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.servers = []
        self.engines = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for engine in self.engines:
            engine.end(signal.SIGKILL) if engine.process.poll() is None else None
        for server in self.servers:
            if server.process.poll() is None:
                server.stop(signal.SIGKILL)

    def limit(self, limit):
        (pathlib.Path(self.folder) / "policy.yaml").write_text(POLICY % limit)

    def serve(self, store=None, lease=LEASE):
        server = Server(PROGRAM, self.folder, "--lease", f"{round(lease * 1000)}ms", store=store)
        self.servers.append(server)
        return server

    def proxy(self, targets, draw=None):
        proxy = Proxy(targets, draw)
        self.addCleanup(proxy.close)
        return proxy

    def engine(self, address, **how):
        engine = Engine(address, self.servers[0].token, self.folder, **how)
        self.engines.append(engine)
        return engine

    def rows(self, server, customers):
        """Those that are there, by ID."""
        with server.engine(f"reader{next(self.readers)}") as connection:
            deadline = time.monotonic() + PATIENCE
            while (answer := connection.ask("read", ids=list(customers)))["type"] != "rows":
                self.assertLess(time.monotonic(), deadline, answer)
                time.sleep(0.05)
        return {row["id"]: Row(row) for row in answer["rows"]}


def place(server):
    return (server.host, server.port)


class Creating(FaultsTest):
    def test_two_engines_create_a_customer_at_once(self):
        server = self.serve()
        engines = [self.engine(f"http://{server.host}:{server.port}") for _ in range(2)]
        self.assertTrue(all(engine.opened() for engine in engines))
        for number in range(50):
            for engine in engines:
                engine.tell("ensure", f"c{number}")
            answers = sorted(engine.answer() for engine in engines)
            self.assertEqual(answers, ["false", "true"], f"customer c{number}")


class Frames(FaultsTest):
    """A cut before, inside and after each message of a flow."""

    calls = 5

    def flow(self, server, customer, fate, room):
        """Runs the flow on a connection with that fate; says whether there was a cut."""
        fates = [fate]
        proxy = Proxy([place(server)], lambda: fates.pop() if fates else Fate())
        try:
            engine = Engine(proxy.address, server.token, self.folder, room=room)
            if not engine.opened() and engine.said.startswith("error unconnected"):
                engine.end(signal.SIGKILL)  # the cut was early
                engine = Engine(proxy.address, server.token, self.folder, room=room)
                engine.opened()
            try:
                self.check_flow(server, engine, customer)
            finally:
                engine.end(signal.SIGKILL)
            return proxy.cuts != 0
        finally:
            proxy.close()

    def until_known(self, engine, *words):
        """The answer of a call that can be made again."""
        while (said := engine.ask(*words)).startswith(("error unconnected", "error outcome_unk",
                                                       "denied unconnected")):
            if said.startswith("error outcome_unknown") and words[0] == "allow":
                return said
            time.sleep(0.01)
        return said

    def check_flow(self, server, engine, customer):
        assert engine.said == "open", engine.said
        made = self.until_known(engine, "ensure", customer)
        assert made in ("true", "false"), made
        for _ in range(self.calls):
            said = self.until_known(engine, "allow", customer, "chat", 1)
            assert said == "allowed" or said.startswith("error outcome_unknown"), said
        # One connection is cut once.
        allowed, unknown = engine.allowed[customer], engine.unknown[customer]
        assert unknown <= 1, unknown
        assert made == "true" or unknown == 1, f"{made}, and nothing was unknown"
        closed = engine.ask("close")
        row = self.rows(server, [customer])[customer]
        told = f"{closed}, answered {allowed}, {row}"
        assert row.value <= self.calls, told
        assert row.value + row.doubt + row.room >= allowed, told
        if closed == "closed":
            assert allowed <= row.value and row.doubt + row.room == 0, told

    def test_cuts_at_every_message(self):
        self.limit(1000)
        server = self.serve(lease=10)

        def run(case):
            direction, unit, where, half_open, room = case
            fate = Fate(cut_at=(direction, unit, where), half_open=half_open)
            name = "-".join(map(str, case))
            try:
                return case, self.flow(server, name, fate, room), None
            except Exception as problem:  # all of them are told
                return case, True, f"{case}: {problem!r}"

        problems = []
        counts = {UP: 0, DOWN: 0}
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            cases = [(direction, unit, where, None, room)
                     for room in (0, 0.01) for direction in (UP, DOWN)
                     for unit in range(13) for where in ("before", "inside", "after")]
            for case, was_cut, problem in pool.map(run, cases):
                counts[case[0]] += was_cut
                if problem:
                    problems.append(problem)
        print(f"cuts: {counts}", file=sys.stderr)
        self.assertEqual(problems, [])
        # The flow has at least: two HTTP messages, hello, estimates, ensure, a call, bye.
        self.assertGreaterEqual(min(counts.values()), 2 * 3 * 7)


class LostAnswers(FaultsTest):
    def test_a_call_counts_once_whoever_writes_after_it(self):
        """Its answer is lost, and it learns what became of it only when others have gone on."""
        self.limit(1000)
        server = self.serve(lease=0.5)
        for others in (0, 3, 4, 7):
            customer = f"c{others}"
            proxy = self.proxy([place(server)])
            engine = self.engine(proxy.address, room=0, timeout=20_000)
            after = [self.engine(f"http://{server.host}:{server.port}", room=0, timeout=20_000)
                     for _ in range(others)]
            self.assertTrue(all(one.opened() for one in [engine, *after]))
            self.assertEqual(engine.ask("ensure", customer), "true")
            self.assertEqual(engine.ask("allow", customer, "chat", 1), "allowed")
            proxy.hold(DOWN)
            engine.customer = customer
            engine.tell("allow", customer, "chat", 1)
            wait_until(lambda: self.rows(server, [customer])[customer].value == 2, "it is written")
            proxy.targets = []
            proxy.cut_all()
            proxy.hold()
            for one in after:
                self.assertEqual(one.ask("allow", customer, "chat", 1), "allowed")
            proxy.targets = [place(server)]
            said = engine.answer()
            row = self.rows(server, [customer])[customer]
            with self.subTest(others=others, said=said):
                self.assertEqual(row.value, 2 + others)


    def test_a_call_counts_once_though_the_database_goes_away(self):
        """It was written, but the server does not hear of it, and fails when it is asked again."""
        self.limit(1000)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        database = Postgres(POSTGRES_BIN, folder.name)
        self.addCleanup(database.stop)
        way_in = f"{folder.name}/.s.PGSQL.5432"
        link = self.proxy([way_in])
        server = self.serve(f"postgres://postgres@127.0.0.1:{link.port}/postgres")
        witness = self.serve(database.url)
        for room in (0, 0.01):  # a call that is confirmed, and one that is reported
            customer = f"c{room}"
            engine = self.engine(f"http://{server.host}:{server.port}", room=room, timeout=20_000)
            self.assertTrue(engine.opened(), engine.said)
            self.assertEqual(engine.ask("ensure", customer), "true")
            self.assertEqual(engine.ask("allow", customer, "chat", 1), "allowed")
            link.hold(DOWN)
            engine.customer = customer
            engine.tell("allow", customer, "chat", 1)
            wait_until(lambda: self.rows(witness, [customer])[customer].value == 2,
                       "it is written")
            link.targets = []
            failed = server.log_text().count("store_failed")
            link.cut_all()
            link.hold()
            wait_until(lambda: server.log_text().count("store_failed") > failed, "it fails")
            time.sleep(0.3)  # for the engine to ask again; it proves less where that is too short
            link.targets = [way_in]
            said = engine.answer()
            self.assertIn(said.split(" ")[0], ("allowed", "error"))
            if said != "allowed":
                self.assertTrue(said.startswith("error outcome_unknown"), said)
            self.assertEqual(engine.ask("close"), "closed")
            self.assertEqual(self.rows(witness, [customer])[customer].value, 2)


class Storm:
    """Engines on one customer, and each mostly on one of its own, while a seed draws faults.

    Each few faults they take new customers of their own, so that there are always some at home with
    an engine that fails.
    """

    limit = 200
    faults_each = 3  # while the customers stay the same

    def __init__(self, test, seed, servers, engines, stores=None, database_faults=()):
        self.test = test
        self.random = random.Random(seed)
        self.began = time.monotonic()
        self.stores = stores or [None] * servers
        self.database_faults = list(database_faults)
        test.limit(self.limit)
        self.servers = [test.serve(store) for store in self.stores]
        self.token = self.servers[0].token
        self.room = self.random.choice((0, 0.01, 0.04, 0.04, 0.2, 0.2))
        self.is_calm = self.is_over = False
        self.phase = self.deaths = 0
        self.problems = []
        self.told = [f"room {self.room}"]
        self.lock = threading.Lock()
        self.proxies = [test.proxy([], self.draw) for _ in range(engines)]
        self.straight = test.proxy([])
        self.aim()
        self.engines = [self.new_engine(i) for i in range(engines)]

    def note(self, text):
        self.told.append(f"{time.monotonic() - self.began:.2f} {text}")

    def own(self, i, phase=None):
        return f"own-{self.phase if phase is None else phase}-{i}"

    def customers(self):
        places = range(len(self.engines))
        return ["shared"] + [self.own(i, phase) for phase in range(self.phase + 1) for i in places]

    def aim(self):
        alive = [place(server) for server in self.servers if server.process.poll() is None]
        for proxy in [*self.proxies, self.straight]:
            proxy.targets = alive

    def draw(self):
        """The fate of the next connection."""
        with self.lock:
            if self.is_calm or self.random.random() < 0.4:
                return Fate()
            way = self.random.choice((UP, DOWN))
            fate = Fate(cut_after={way: self.random.randrange(1, 40_000)},
                        half_open=self.random.choice((None, None, "client", "server")))
            if self.random.random() < 0.3:
                fate.chop = self.random.randrange(1, 100)
            if self.random.random() < 0.3:
                fate.delay = self.random.random() * 0.02
            return fate

    def new_engine(self, i=None):
        """None: one on a network without faults."""
        proxy = self.straight if i is None else self.proxies[i]
        engine = Engine(proxy.address, self.token, self.test.folder, room=self.room, timeout=1500)
        engine.is_open = False
        self.test.engines.append(engine)
        return engine

    def count(self, what):
        counts = Counter()
        for engine in self.test.engines:
            counts.update(getattr(engine, what))
        return counts

    # Calls.

    def start(self, work):
        def run(i):
            try:
                work(i)
            except Exception as problem:  # told by finish()
                self.problems.append(f"engine {i}: {problem!r}")

        workers = [threading.Thread(target=run, args=[i]) for i in range(len(self.engines))]
        for worker in workers:
            worker.start()
        return workers

    def finish(self, workers):
        for worker in workers:
            worker.join()
        self.test.assertEqual(self.problems, [])

    def opened(self, i):
        """The engine in that place, once there is one that is open."""
        while True:
            engine = self.engines[i]
            engine.is_open = engine.is_open or engine.opened()
            if engine.is_open:
                return engine
            self.replace(i, engine)

    def replace(self, i, engine):
        """For one that has ended."""
        engine.end(signal.SIGKILL)
        self.deaths += engine.is_open
        self.engines[i] = self.new_engine(i)
        time.sleep(0.05)

    def call(self, i, customer, count, threads):
        """The answers; there is another engine afterwards where it has died."""
        engine = self.opened(i)
        answers = engine.burst(customer, count, threads)
        if "denied unknown_customer" in answers:
            engine.ask("ensure", customer)
        if len(answers) < count:
            self.replace(i, engine)
        return answers

    def use(self, i):
        """Calls that mostly stay below the limit."""
        own = random.Random(i)
        while not self.is_over:
            which = own.random()
            customer = self.own(i)
            if which < 0.2:
                customer = "shared"
            elif which < 0.23:
                customer = self.own(own.randrange(len(self.engines)))
            self.call(i, customer, own.randrange(1, 9), own.randrange(1, 4))
            time.sleep(own.random() * 0.1)

    def use_up(self, i):
        """Each customer by two engines, and the one that all of them use by all."""
        count = len(self.engines)
        for number, customer in enumerate(self.customers()):
            if number != 0 and number % count not in (i, (i + 1) % count):
                continue
            while "denied limit" not in self.call(i, customer, 30, 4):
                pass

    # Faults.

    def cut(self):
        self.random.choice(self.proxies).cut_all()

    def withhold(self):
        proxy = self.random.choice(self.proxies)
        proxy.hold(*self.random.choice(([UP], [DOWN], [UP, DOWN])))
        time.sleep(self.random.choice((0.1, 0.5, 1.6 * LEASE)))
        proxy.hold()

    def kill_engine(self):
        self.random.choice(self.engines).signal(signal.SIGKILL)

    def pause_engine(self):
        engine = self.random.choice(self.engines)
        engine.signal(signal.SIGSTOP)
        time.sleep(self.random.choice((0.1, 1.5 * LEASE, 3 * LEASE)))
        engine.signal(signal.SIGCONT)

    def kill_server(self):
        which = self.random.randrange(len(self.servers))
        self.servers[which].stop(signal.SIGKILL)
        self.aim()
        time.sleep(self.random.choice((0.0, 0.3)))
        self.servers[which] = self.test.serve(self.stores[which])
        self.aim()

    def pause_server(self):
        server = self.random.choice(self.servers)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(self.random.choice((0.2, 1.2 * LEASE)))
        server.process.send_signal(signal.SIGCONT)

    # The whole of it.

    def check(self):
        """What was answered is in the rows, or in doubt there, at every moment."""
        answered = self.count("allowed")
        rows = self.test.rows(self.servers[-1], self.customers())
        for customer, units in answered.items():
            if units:
                row = rows[customer]
                told = f"{customer}: answered {units}, {row}"
                used = row.value + row.doubt + row.room
                self.test.assertTrue(units <= used <= self.limit, told)

    def run(self, faults):
        kinds = [self.cut, self.withhold, self.kill_engine, self.pause_engine, self.kill_server,
                 self.pause_server, *self.database_faults]
        # The worst are in every storm.
        drawn = [self.kill_engine, self.kill_engine, self.pause_engine, self.kill_server]
        drawn += [self.random.choice(kinds) for _ in range(faults - len(drawn))]
        self.random.shuffle(drawn)
        workers = self.start(self.use)
        try:
            for number, fault in enumerate(drawn):
                self.phase = number // self.faults_each
                time.sleep(self.random.random() * 0.5)
                self.note(fault.__name__)
                fault()
                self.check()
        finally:
            self.is_over = True
            self.heal()
        self.finish(workers)
        self.recover()
        self.check()
        self.note("demand")
        self.finish(self.start(self.use_up))
        self.end()

    def heal(self):
        self.is_calm = True
        self.healed = time.monotonic()
        for proxy in self.proxies:
            proxy.hold()
            proxy.cut_all()

    def settled(self, engine, customer, answers):
        """Asks for one unit until the answer is one of these."""
        while (said := engine.ask("allow", customer, "chat", 1)) not in answers:
            self.test.assertIsNotNone(said)
            self.test.assertLess(time.monotonic() - self.healed, 2 * PATIENCE, said)
            if said == "denied unknown_customer":
                engine.ask("ensure", customer)

    def recover(self):
        """Each customer can be used again, whoever had it before."""
        engine = self.new_engine()
        self.test.assertTrue(engine.opened(), engine.said)
        for customer in self.customers():
            self.settled(engine, customer, ("allowed", "denied limit"))
        self.note(f"recovered in {time.monotonic() - self.healed:.2f} s")
        self.leave(engine)

    def leave(self, engine):
        closed = engine.ask("close")
        self.test.assertEqual(closed, "closed")
        engine.end()

    def end(self):
        """Nobody is there any more, and all was asked for that there is."""
        for i in range(len(self.engines)):
            self.leave(self.opened(i))
        last = self.new_engine()
        self.test.assertTrue(last.opened(), last.said)
        for customer in self.customers():
            self.settled(last, customer, ("denied limit",))
        self.leave(last)
        answered = self.count("allowed")
        uncertain = self.count("unknown") + self.count("under_way")
        made = self.count("made")
        rows = self.test.rows(self.servers[-1], self.customers())
        for customer, row in rows.items():
            told = (f"{customer}: answered {answered[customer]}, perhaps {uncertain[customer]} "
                    f"more, {row}")
            self.test.assertLessEqual(made[customer], 1, told)
            self.test.assertLessEqual(answered[customer], self.limit, told)
            # A dead one's home stays in a row that nobody has a reason to write.
            self.test.assertEqual(row.value + row.doubt + row.room, self.limit, told)
            self.test.assertLessEqual(row.value, answered[customer] + uncertain[customer], told)
        # Who goes on, or was closed, leaves nothing in doubt.
        left = set().union(*(row.engines for row in rows.values()))
        self.test.assertLessEqual(len(left), self.deaths)
        doubt = sum(row.doubt + row.room for row in rows.values())
        self.note(f"{len(rows)} customers, {self.deaths} engines died, answered "
                  f"{answered.total()}, perhaps {uncertain.total()} more, in doubt {doubt}; "
                  f"errors {dict(self.count('errors'))}")
        print("; ".join(told for told in self.told if "room" in told or "recovered" in told
                        or "answered" in told), file=sys.stderr)


class Storms(FaultsTest):
    def weather(self, make, faults):
        for seed in seeds():
            with self.subTest(seed=seed):
                print(f"\nLIMITR_SEED={seed}", file=sys.stderr)
                try:
                    self.setUp()
                    storm = make(seed)
                    try:
                        storm.run(faults)
                    except BaseException:
                        print("\n".join(storm.told), file=sys.stderr)
                        raise
                finally:
                    self.doCleanups()

    def test_four_engines_and_sqlite(self):
        self.weather(lambda seed: Storm(self, seed, servers=1, engines=4), faults=6)

    def test_eight_engines_two_servers_and_postgres(self):
        def make(seed):
            folder = tempfile.TemporaryDirectory()
            self.addCleanup(folder.cleanup)
            database = Postgres(POSTGRES_BIN, folder.name)
            self.addCleanup(database.stop)
            links = [self.proxy([f"{folder.name}/.s.PGSQL.5432"]) for _ in range(2)]
            drawn = random.Random(seed + 1)

            def restart_database():
                database.stop()
                database.start()

            def cut_database():
                drawn.choice(links).cut_all()

            def withhold_database():
                link = drawn.choice(links)
                link.hold(*drawn.choice(([UP], [DOWN], [UP, DOWN])))
                time.sleep(drawn.choice((0.2, 1.5 * LEASE)))
                link.hold()

            stores = [f"postgres://postgres@127.0.0.1:{link.port}/postgres" for link in links]
            return Storm(self, seed, servers=2, engines=8, stores=stores,
                         database_faults=[restart_database, cut_database, withhold_database])

        self.weather(make, faults=6)


class Releasing(FaultsTest):
    """What is in doubt of engines that were killed, paused or interrupted is released."""

    def setUp(self):
        super().setUp()
        self.limit(100)
        self.server = self.serve(lease=0.5)
        self.address = f"http://{self.server.host}:{self.server.port}"

    def opened(self):
        engine = self.engine(self.address, room=0.2)
        self.assertTrue(engine.opened(), engine.said)
        return engine

    def row(self):
        return self.rows(self.server, ["ann"])["ann"]

    def command(self, *words):
        run = subprocess.run([PROGRAM, "in-doubt", *words, "--json", "--address", self.address],
                             env={**os.environ, "LIMITR_TOKEN": self.server.token},
                             capture_output=True, text=True, check=False)
        self.assertEqual(run.stderr, "")
        return json.loads(run.stdout)

    def use_up(self, engine):
        """All that is left, one by one."""
        while (said := engine.ask("allow", "ann", "chat", 1)) != "denied limit":
            self.assertIn(said, ("allowed", "denied unconnected"))

    def begin(self, calls):
        """An engine that is the home and has room."""
        engine = self.opened()
        engine.ask("ensure", "ann")
        while self.row().room < 2:
            self.assertEqual(engine.burst("ann", calls), ["allowed"] * calls)
        return engine

    def test_what_a_killed_engine_left(self):
        dead = self.begin(5)
        wait_until(lambda: self.row().value == dead.allowed["ann"] and self.row().room > 0,
                   "all is reported")
        dead.end(signal.SIGKILL)
        wait_until(lambda: self.command("list"), "it is lost")
        heir = self.opened()
        self.use_up(heir)
        [ann] = self.command("list")
        in_doubt = ann["in_doubt"]["meters"]["chat"]
        self.assertGreater(in_doubt, 0)
        self.assertEqual(dead.allowed["ann"] + heir.allowed["ann"] + in_doubt, 100)
        [engine] = {entry["engine"] for entry in ann["entries"]}
        self.assertEqual(self.command("release", "ann"),
                         {"customer": "ann", "released": 1, "engines": [engine]})
        # A recall tells the heir, which is the home; until it comes, the heir denies.
        wait_until(lambda: heir.ask("allow", "ann", "chat", 1) == "allowed", "it has heard")
        self.use_up(heir)
        self.assertEqual(dead.allowed["ann"] + heir.allowed["ann"], 100)
        [ann] = self.command("list")
        self.assertEqual((ann["in_doubt"]["meters"], ann["exposure"]["meters"]),
                         ({}, {"chat": in_doubt}))

    def test_what_a_paused_engine_used_is_added_once(self):
        paused = self.begin(5)
        paused.burst("ann", 2)
        paused.signal(signal.SIGSTOP)
        wait_until(lambda: self.command("list"), "it is lost")
        released = self.command("list")[0]["in_doubt"]["meters"]["chat"]
        self.assertEqual(self.command("release", "ann")["released"], 1)
        heir = self.opened()
        self.use_up(heir)
        paused.signal(signal.SIGCONT)
        wait_until(lambda: not self.row().engines or self.row().engines.isdisjoint(
            {entry["engine"] for one in self.command("list") for entry in one["entries"]}),
                   "it has reported")
        for engine in (paused, heir):
            self.assertEqual(engine.ask("close"), "closed")
        answered = paused.allowed["ann"] + heir.allowed["ann"]
        self.assertLessEqual(answered, 100 + released)
        self.assertEqual((self.row().value, self.row().doubt), (answered, 0))
        self.assertEqual(self.command("list"), [])

    def test_a_home_that_is_interrupted_goes_on(self):
        dead = self.begin(5)
        dead.end(signal.SIGKILL)
        wait_until(lambda: self.command("list"), "it is lost")
        in_doubt = self.command("list")[0]["in_doubt"]["meters"]["chat"]
        alive = self.begin(5)
        said = alive.burst("ann", 2)
        self.assertEqual(self.command("release", "ann")["released"], 1)
        said += alive.burst("ann", 3)
        self.assertEqual(said, ["allowed"] * 5)
        wait_until(lambda: self.row().doubt == in_doubt, "it has reported")
        self.assertEqual(alive.ask("close"), "closed")
        # What was answered, and not reported, by the one that was killed is lost with it.
        before = self.row().value - alive.allowed["ann"]
        self.assertLessEqual(dead.allowed["ann"] - in_doubt, before)
        self.assertLessEqual(before, dead.allowed["ann"])
        self.use_up(heir := self.opened())
        self.assertEqual(before + alive.allowed["ann"] + heir.allowed["ann"], 100)


class Killed(FaultsTest):
    """Engines with a local file, killed while they answer: who comes after them with the same file
    reports what they had answered."""

    def test_all_that_was_answered_is_reported_once(self):
        for seed in seeds():
            with self.subTest(seed=seed):
                print(f"\nLIMITR_SEED={seed}", file=sys.stderr)
                try:
                    self.setUp()
                    self.check(random.Random(seed))
                finally:
                    self.doCleanups()

    def check(self, drawn):
        """Two processes, each with a file, that are killed again and again; now and then they share
        a customer, are killed as soon as they have started, or while nobody answers them."""
        self.limit(100_000)
        server = self.serve()
        proxy = self.proxy([place(server)])
        files = [f"{self.folder}/{i}.unreported" for i in range(2)]
        rooms = [drawn.choice((0.001, 0.01)) for _ in files]
        customers = ["own-0", "own-1", "shared"]
        maker = self.engine(proxy.address)
        self.assertTrue(maker.opened(), maker.said)
        for customer in customers:
            self.assertEqual(maker.ask("ensure", customer), "true")
        self.assertEqual(maker.ask("close"), "closed")
        maker.end()

        def start(i):
            return self.engine(proxy.address, room=rooms[i], local_file=files[i], timeout=20_000)

        def work(i):
            for _ in range(12):
                engine = start(i)
                # Also while it starts; however long that takes, most come to answering.
                is_early, wait = drawn.random() < 0.2, drawn.random() * 0.4
                lives = not is_early and engine.opened()
                threading.Timer(wait, engine.signal, [signal.SIGKILL]).start()
                lives = lives or engine.opened()
                while lives:
                    customer = f"own-{i}" if drawn.random() < 0.9 else "shared"
                    lives = len(engine.burst(customer, 400, 2)) == 400
                engine.end(signal.SIGKILL)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            workers = [pool.submit(work, i) for i in range(2)]
            while not all(worker.done() for worker in workers):
                time.sleep(0.5)
                proxy.hold(UP, DOWN) if drawn.random() < 0.3 else proxy.cut_all()
                time.sleep(drawn.random() * 0.3)
                proxy.hold()
            for worker in workers:
                worker.result()
        for i in range(2):
            engine = start(i)
            self.assertTrue(engine.opened(), engine.said)
            self.assertEqual(engine.ask("close"), "closed")
            engine.end()
        rows = self.rows(server, customers)
        for customer in customers:
            row = rows[customer]
            answered = sum(engine.allowed[customer] for engine in self.engines)
            perhaps = sum(engine.under_way[customer] + engine.unknown[customer]
                          for engine in self.engines)
            told = f"{customer}: answered {answered}, perhaps {perhaps} more, {row}"
            print(told, file=sys.stderr)
            self.assertGreaterEqual(row.value, answered, told)
            self.assertLessEqual(row.value, answered + perhaps, told)
            self.assertEqual((row.doubt, row.has_home), (0, False), told)
        self.assertGreater(sum(engine.allowed.total() for engine in self.engines), 0)


class Returning(FaultsTest):
    def test_many_engines_come_back_at_once(self):
        self.limit(1000)
        server = self.serve(lease=10)
        proxy = self.proxy([place(server)])
        engines = [self.engine(proxy.address) for _ in range(ENGINES)]
        for number, engine in enumerate(engines):
            self.assertTrue(engine.opened(), engine.said)
            self.assertEqual(engine.ask("ensure", f"c{number}"), "true")
            self.assertEqual(engine.ask("allow", f"c{number}", "chat", 1), "allowed")
        server.stop(signal.SIGKILL)
        server = self.serve(lease=10)
        proxy.targets = [place(server)]
        began = time.monotonic()
        wait_until(lambda: proxy.made == 2 * ENGINES, "all have come back")
        for _ in range(5):
            for number, engine in enumerate(engines):
                engine.customer = f"c{number}"
                engine.tell("allow", engine.customer, "chat", 1)
            for engine in engines:
                said = engine.answer()
                self.assertIn(said.split(" ")[0], ("allowed", "denied"), said)
        print(f"{ENGINES} engines are back after {time.monotonic() - began:.2f} s",
              file=sys.stderr)
        for number, engine in enumerate(engines):
            while (said := engine.ask("allow", f"c{number}", "chat", 1)) != "allowed":
                self.assertEqual(said, "denied unconnected")
                time.sleep(0.01)
        for engine in engines:
            engine.tell("close")
        for engine in engines:
            self.assertEqual(engine.answer(), "closed")
        rows = self.rows(server, [f"c{number}" for number in range(ENGINES)])
        for number, engine in enumerate(engines):
            row = rows[f"c{number}"]
            told = f"c{number}: answered {engine.allowed}, {row}"
            self.assertEqual((row.value, row.doubt, row.has_home),
                             (engine.allowed[f"c{number}"], 0, False), told)


if __name__ == "__main__":
    PROGRAM, CLIENT = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
    POSTGRES_BIN = sys.argv.pop(1)
    unittest.main()
