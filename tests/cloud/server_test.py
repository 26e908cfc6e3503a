# SPDX-License-Identifier: Apache-2.0
"""`limitr serve` as engines and operators see it: a real process, real sockets.

    tests/cloud/server_test.py PROGRAM POSTGRES_BIN

MEMORY_FACTOR says how much more memory a server may take that was built with a sanitizer.
"""

import contextlib
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest
import warnings

import cloud_client
from cloud_client import POLICY, Postgres, Server, is_closed, wait_until

PROGRAM = ""
POSTGRES_BIN = ""
MEMORY_FACTOR = int(os.environ.get("MEMORY_FACTOR", "1"))


class ServerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, *arguments, **how):
        server = Server(PROGRAM, self.folder, *arguments, **how)
        self.addCleanup(lambda: server.process.poll() is None and server.stop(signal.SIGKILL))
        return server

    def open(self, connection):
        self.addCleanup(connection.socket.close)
        return connection


class Tickets(ServerTest):
    def test_a_token_becomes_a_connection(self):
        server = self.start()
        connection = self.open(server.connect())
        self.assertEqual(connection.status, 101)
        welcome = connection.hello()
        self.assertEqual(welcome["project"], "default")
        self.assertEqual(welcome["lease"], 4_000)
        self.assertEqual(welcome["max_message"], 1 << 20)
        self.assertEqual(welcome["policy"]["version"], 1)
        self.assertIn("chat", json.dumps(welcome["policy"]["document"]))
        self.assertEqual(connection.ask("bye")["type"], "done")
        self.assertEqual(connection.closed(), (1000, "good-bye"))

    def test_a_ticket_opens_once(self):
        server = self.start()
        ticket = server.ticket()
        first = self.open(cloud_client.Connection(server.host, server.port, ticket))
        second = self.open(cloud_client.Connection(server.host, server.port, ticket))
        self.assertEqual((first.status, second.status), (101, 401))
        none = self.open(cloud_client.Connection(server.host, server.port, ""))
        self.assertEqual(none.status, 401)

    def test_what_is_no_token_gets_no_ticket(self):
        server = self.start()
        for body in (b"", b"{", b"[]", b'{"token":7}', b"[" * 60_000):
            status, _, answer = server.request("POST", "/wss/ticket", body)
            self.assertEqual(status, 400, answer)
        wrong = server.token[:-1] + ("a" if server.token[-1] != "a" else "b")
        for token in ("", "x", wrong, "lim_live_" + "x" * 60_000):
            status, answer = server.ask_ticket(token)
            self.assertEqual((status, answer["error"]["code"]), (401, "unauthorized"))
        self.assertNotIn(wrong, server.log_text())

    def test_bad_tokens_are_limited_by_address(self):
        server = self.start("--max-failed-attempts", "3")
        for _ in range(3):
            self.assertEqual(server.ask_ticket("x")[0], 401)
        status, headers, body = server.request(
            "POST", "/wss/ticket", json.dumps({"token": server.token}))
        self.assertEqual(status, 429)
        self.assertIn("--max-failed-attempts", body)
        self.assertGreater(int(headers["Retry-After"]), 0)

    def test_a_revoked_token_ends_its_connections(self):
        server = self.start()
        first = self.open(server.engine("e1"))
        made = first.ask("admin", do="token_create", args={"name": "second", "scopes": ["engine"]})
        self.assertEqual(made["type"], "done", made)
        second = self.open(server.engine("e2", token=made["value"]["token"]))
        listed = first.ask("admin", do="token_list", args={})["value"]["tokens"]
        ids = [one["id"] for one in listed if one["name"] == "second"]
        revoked = first.ask("admin", do="token_revoke", args={"id": ids[0]})
        self.assertEqual(revoked["type"], "done", revoked)
        self.assertEqual(second.closed()[0], 4001)
        self.assertEqual(first.ask("renew")["type"], "renewed")


class Messages(ServerTest):
    def test_what_comes_first_is_a_hello(self):
        server = self.start()
        for text in (b"garbage", b"{}", b"\xc3\xa4", b'{"type":"renew","n":1}', b"[" * 1000):
            connection = self.open(server.connect())
            connection.send_frame(text)
            self.assertEqual(connection.closed()[0], 1008, text)

    def test_garbage_is_answered_with_an_error(self):
        server = self.start()
        connection = self.open(server.engine())
        for text in (b"garbage", b"{}", b"[" * 100_000, b'{"type":"what","n":7}'):
            connection.send_frame(text)
            answer = connection.push()
            self.assertEqual((answer["type"], answer["code"]), ("error", "invalid_argument"))
        self.assertEqual(answer["n"], 7)
        self.assertEqual(connection.ask("renew")["type"], "renewed")

    def test_frames_that_are_not_ours_end_the_connection(self):
        server = self.start("--max-message", "65536")
        cases = (
            (dict(payload=b"{}", opcode=2), {1003}),
            (dict(payload=b"\xff\xfe", opcode=1), {1007}),
            (dict(payload=b"", opcode=3), {1002}),
            (dict(payload=b"x" * 10, size=1 << 30), {1009}),
            (dict(payload=b"x" * 65_537), {1009}),
        )
        for frame, codes in cases:
            connection = self.open(server.engine())
            before = server.memory()
            connection.send_frame(**frame)
            self.assertIn(connection.closed()[0], codes, frame)
            self.assertLess(server.memory() - before, MEMORY_FACTOR * (4 << 20))
        connection = self.open(server.engine())
        for _ in range(8):  # each small enough, and all of them one message
            connection.send_frame(b"x" * 10_000, opcode=1 if _ == 0 else 0, final=False)
        self.assertEqual(connection.closed()[0], 1009)
        self.assertEqual(self.open(server.engine()).ask("renew")["type"], "renewed")

    def test_a_flood_of_pings_ends_the_connection(self):
        server = self.start()
        connection = self.open(server.engine())
        connection.socket.sendall(connection.frame(b"", opcode=9) * 1000)
        code, reason = connection.closed()
        self.assertEqual(code, 1008)
        self.assertIn("pings", reason)

    def test_requests_on_their_way_are_bounded(self):
        server = self.start("--max-requests", "1")
        connection = self.open(server.engine())
        request = json.dumps({"type": "read", "n": 1, "ids": ["x"]}).encode()
        connection.socket.sendall(connection.frame(request) * 2000)
        code, reason = connection.closed()
        self.assertEqual(code, 1008)
        self.assertIn("--max-requests", reason)

    def test_who_does_not_read_is_cut(self):
        server = self.start("--max-outbound", "1000000")
        writer = self.open(server.engine("e1"))
        writer.write("big", 0, {"x": "x" * 300_000})
        reader = self.open(server.engine("e2", receive_buffer=4096))
        before = server.memory()
        request = json.dumps({"type": "read", "n": 1, "ids": ["big"]}).encode()
        reader.socket.sendall(reader.frame(request) * 100)
        server.wait_for_log("code=4003")
        self.assertIn("--max-outbound", server.log_text())
        # Whoever reads on finds the reason, if not all of the answers.
        self.assertEqual(reader.closed()[0], 4003)
        self.assertEqual(writer.ask("renew")["type"], "renewed")
        self.assertLess(server.memory() - before, MEMORY_FACTOR * (60 << 20))

    def test_what_nobody_has_asked_for_ends_no_connection(self):
        server = self.start("--max-outbound", "100000")
        first, second = self.open(server.engine("e1")), self.open(server.engine("e2"))
        parts = []
        for customer in ("ann", "bob"):
            version = first.write(customer, 0, {"x": "x"})["versions"][0]
            parts.append({"id": customer, "version": version,
                          "write": {"record": {"x": "x" * 60_000}, "alts": [], "requests": [],
                                    "first_request": 0}})
        transactions = [{"number": i + 1, "parts": [part]} for i, part in enumerate(parts)]
        for result in second.ask("exchange", transactions=transactions)["results"]:
            self.assertIn("versions", result)
        self.assertEqual(first.ask("renew")["type"], "renewed")
        self.assertEqual(first.ask("renew")["type"], "renewed")

    def test_what_waits_for_the_store_is_bounded(self):
        server = self.start("--max-inbound", "1000")
        engine = self.open(server.engine())
        self.assertIn("versions", engine.write("ann", 0, {}))
        part = {"id": "bob", "version": 0, "write": {"record": {"x": "x" * 2000}, "alts": [],
                                                     "requests": [], "first_request": 0}}
        refused = engine.ask("exchange", transactions=[{"number": 2, "parts": [part]}])
        self.assertEqual(refused["code"], "store_unavailable")
        self.assertIn("--max-inbound", refused["message"])
        self.assertIn("versions", engine.write("cyd", 0, {}))

    def test_another_version_is_told(self):
        server = self.start()
        connection = self.open(server.connect())
        connection.send_frame(json.dumps(
            {"type": "hello", "n": 1, "protocol": 99, "engine": "e", "limitr": "x",
             "deny_unconnected": True}).encode())
        code, reason = connection.closed()
        self.assertEqual(code, 4002)
        self.assertIn("version 1", reason)


def shared(units, home=None, doubts=()):
    """A record that engines share: room of `chat`."""
    def entry(engine):
        room = {"meters": {"chat": {"units": units, "started": 1764100000000}}, "caps": {}}
        return {"engine": engine, "report": 7, "room": room}

    cloud = {"by": [], "free": False, "doubts": [entry(engine) for engine in doubts]}
    if home:
        cloud["home"] = entry(home)
    return {"meters": {"chat": {"credit": "tok", "started": 1764100000000, "value": 1}},
            "cloud": cloud}


class InDoubt(ServerTest):
    def command(self, *arguments, token=None):
        run = subprocess.run([PROGRAM, "in-doubt", *arguments], capture_output=True, text=True,
                             check=False, env={**os.environ, "LIMITR_TOKEN": token or ""})
        return run.returncode, run.stdout + run.stderr

    def write(self, engine, customer, **how):
        written = engine.write(customer, 0, {"id": customer, **shared(2, **how)})
        self.assertIn("versions", written)

    def do(self, connection, what, **args):
        answer = connection.ask("admin", do=what, args=args)
        return answer["value"] if answer["type"] == "done" else answer

    def test_it_is_listed_and_released(self):
        server = self.start()
        engine = self.open(server.engine())
        self.write(engine, "ann", doubts=["lost", "gone"])
        self.write(engine, "bob", doubts=["gone"])
        self.write(engine, "cyd", home="e1")
        self.write(engine, "dan")
        engine.write("eva", 0, {"id": "eva", "metadata": {"doubts": [{}], "home": {"engine": "x"}},
                                **shared(2)})
        listed = self.do(engine, "in_doubt_list")
        self.assertEqual([one["id"] for one in listed["customers"]], ["ann", "bob"])
        ann = listed["customers"][0]
        self.assertEqual(ann["in_doubt"], {"meters": {"chat": 4}, "caps": {}})
        self.assertEqual(ann["exposure"], {"meters": {}, "caps": {}, "engines": 0})
        self.assertEqual(ann["entries"][0], {
            "engine": "lost", "report": 7, "released": False, "home": False,
            "room": {"meters": {"chat": {"units": 2, "started": 1764100000000}}, "caps": {}}})
        self.assertEqual(listed["more"], False)
        page = self.do(engine, "in_doubt_list", limit=1)
        self.assertEqual((page["more"], page["after"]), (True, "ann"))
        page = self.do(engine, "in_doubt_list", limit=1, after="ann")
        self.assertEqual([one["id"] for one in page["customers"]], ["bob"])

        released = self.do(engine, "in_doubt_release", customer="ann", engine="lost")
        self.assertEqual(released, {"customer": "ann", "released": 1, "engines": ["lost"]})
        again = self.do(engine, "in_doubt_release", customer="ann", engine="lost")
        self.assertEqual(again["released"], 0)
        ann = self.do(engine, "in_doubt_list", customer="ann")["customers"][0]
        self.assertEqual(ann["in_doubt"]["meters"], {"chat": 2})
        self.assertEqual(ann["exposure"]["meters"], {"chat": 2})
        self.assertEqual([one["released"] for one in ann["entries"]], [True, False])
        row = engine.ask("read", ids=["ann"])["rows"][0]
        self.assertEqual(row["record"]["cloud"]["by"], [])
        self.assertEqual(self.do(engine, "in_doubt_release", customer="ann")["engines"], ["gone"])
        self.assertEqual(self.do(engine, "in_doubt_release", customer="eve")["code"],
                         "invalid_argument")
        self.assertEqual(self.do(engine, "in_doubt_list", customer="eve")["code"],
                         "invalid_argument")
        for args in ({}, {"customer": None}, {"customer": 7}, {"customer": "ann", "x": 1}):
            self.assertEqual(self.do(engine, "in_doubt_release", **args)["code"],
                             "invalid_argument", args)

    def test_a_home_that_is_lost_is_in_doubt(self):
        server = self.start("--lease", "500ms")
        engine, home = self.open(server.engine()), self.open(server.engine("e2"))
        self.assertIn("versions", engine.write("ann", 0, {
            "id": "ann", "metadata": {"home": {"engine": "e1"}}, **shared(2, home="e2")}))
        self.assertEqual(self.do(engine, "in_doubt_list")["customers"], [])
        self.assertEqual(self.do(engine, "in_doubt_release", customer="ann")["released"], 0)
        self.assertIn("home", engine.ask("read", ids=["ann"])["rows"][0]["record"]["cloud"])
        home.socket.close()
        wait_until(lambda: self.do(engine, "in_doubt_list")["customers"], "e2 is lost")
        ann = self.do(engine, "in_doubt_list", customer="ann")["customers"][0]
        self.assertEqual(ann["in_doubt"]["meters"], {"chat": 2})
        self.assertEqual([one["home"] for one in ann["entries"]], [True])
        self.assertEqual(self.do(engine, "in_doubt_release", customer="ann")["engines"], ["e2"])
        cloud = engine.ask("read", ids=["ann"])["rows"][0]["record"]["cloud"]
        self.assertNotIn("home", cloud)
        self.assertEqual([one["released"] for one in cloud["doubts"]], [True])

    def test_a_home_that_goes_on_is_asked_to_report(self):
        server = self.start()
        engine, home = self.open(server.engine()), self.open(server.engine("e2"))
        self.write(engine, "ann", home="e2", doubts=["lost"])
        self.assertEqual(self.do(engine, "in_doubt_release", customer="ann")["engines"], ["lost"])
        self.assertEqual(home.push(), {"type": "recall", "ids": ["ann"]})
        ann = self.do(engine, "in_doubt_list", customer="ann")["customers"][0]
        self.assertEqual([(one["engine"], one["released"]) for one in ann["entries"]],
                         [("lost", True), ("e2", False)])

    def test_who_may(self):
        server = self.start()
        admin = self.open(server.engine())
        self.write(admin, "ann", doubts=["lost"])
        self.do(admin, "project_create", name="acme")

        def token(*scopes, **how):
            return self.do(admin, "token_create", name="t", scopes=list(scopes), **how)["token"]

        reader = self.open(server.engine("r", token=token("read")))
        self.assertEqual(len(self.do(reader, "in_doubt_list")["customers"]), 1)
        self.assertEqual(self.do(reader, "in_doubt_release", customer="ann")["code"],
                         "unauthorized")
        engine = self.open(server.engine("e", token=token("engine")))
        self.assertEqual(self.do(engine, "in_doubt_list")["code"], "unauthorized")
        other = self.open(server.engine("o", token=token("read", "admin", project="acme")))
        self.assertEqual(self.do(other, "in_doubt_list")["customers"], [])
        for what in ("in_doubt_list", "in_doubt_release"):
            refused = self.do(other, what, customer="ann", project="default")
            self.assertEqual(refused["code"], "unauthorized")
        self.assertEqual(self.do(other, "in_doubt_release", customer="ann")["code"],
                         "invalid_argument")
        self.assertEqual(self.do(admin, "in_doubt_list", project="nobody")["code"],
                         "invalid_argument")
        self.assertEqual(len(self.do(admin, "in_doubt_list")["customers"]), 1)

    def test_the_command_on_a_server_and_on_its_store(self):
        server = self.start()
        engine = self.open(server.engine())
        there = ("--address", f"http://{server.host}:{server.port}")
        store = ("--store", f"sqlite:{self.folder}/limitr.db")
        self.assertEqual(self.command("list", *there, token=server.token),
                         (0, "nothing is in doubt\n"))
        self.write(engine, "ann", doubts=["lost", "gone"])
        code, said = self.command("list", *there, token=server.token)
        self.assertEqual(code, 0, said)
        for word in ("customer", "ann", "lost", "gone", "in doubt", "chat", "2025-11-25"):
            self.assertIn(word, said)
        code, said = self.command("release", "ann", "--engine", "lost", *there, token=server.token)
        self.assertEqual((code, said),
                         (0, "released of `ann`: what the engine lost may have used\n"))
        code, said = self.command("release", "ann", *store)
        self.assertEqual(code, 2)
        self.assertIn("--address", said)  # the server owns it
        code, said = self.command("list", *store, "--json")
        self.assertEqual((code, [one["id"] for one in json.loads(said)]), (0, ["ann"]))
        server.stop()

        code, said = self.command("list", "ann", *store)
        self.assertEqual(code, 0, said)
        self.assertIn("released", said)
        self.assertIn("in doubt", said)
        code, said = self.command("release", "ann", *store, "--json")
        self.assertEqual((code, json.loads(said)),
                         (0, {"customer": "ann", "released": 1, "engines": ["gone"]}))
        self.assertEqual(self.command("release", "ann", *store),
                         (1, "nothing of `ann` is in doubt\n"))
        code, said = self.command("release", "eve", *store)
        self.assertEqual(code, 2)
        self.assertIn("there is no customer `eve`", said)
        code, said = self.command("list", *there, token=server.token)
        self.assertEqual(code, 2)

    def test_sums_are_metrics(self):
        server = self.start()
        engine = self.open(server.engine())
        self.write(engine, "ann", doubts=["lost", "gone"])
        self.write(engine, "bob", doubts=["gone"])
        self.write(engine, "cyd", home="gone")
        self.do(engine, "in_doubt_release", customer="ann", engine="lost")
        server.stop()
        server = self.start()
        engine = self.open(server.engine())
        wait_until(lambda: server.metric("limitr_in_doubt_customers") == 2, "it is summed up")
        self.assertEqual(server.metric("limitr_in_doubt_units"), 4)
        self.assertEqual(server.metric("limitr_released_units"), 2)
        status = self.do(engine, "status")
        self.assertEqual(status["in_doubt"], {"customers": 2, "meters": 4, "caps": 0})
        self.assertEqual(status["exposure"], {"meters": 2, "caps": 0, "engines": 0})
        engines = {one["engine"]: one for one in self.do(engine, "engines")["engines"]}
        self.assertEqual(engines["gone"]["in_doubt"], {"meters": 4, "caps": 0})
        self.assertEqual(engines["e1"]["in_doubt"], {"meters": 0, "caps": 0})

    def test_engines_that_go_on_without_a_connection_are_counted_while_they_are_away(self):
        server = self.start("--lease", "500ms")
        engine = self.open(server.engine())
        away = lambda: self.do(engine, "status")["exposure"]["engines"]
        strict = self.open(server.engine("strict"))
        loose = self.open(server.engine("loose", deny_unconnected=False))
        polite = self.open(server.engine("polite", deny_unconnected=False))
        self.assertEqual(away(), 0)
        polite.ask("bye")
        loose.socket.close()
        strict.socket.close()
        wait_until(lambda: away() == 1, "one is away")

        def is_forgotten():
            engines = {one["engine"]: one for one in self.do(engine, "engines")["engines"]}
            return "strict" not in engines and "away" in engines["loose"]

        wait_until(is_forgotten, "the leases are over")
        self.assertEqual(away(), 1)
        self.assertEqual(server.metric("limitr_engines_away_serving"), 1)
        self.write(engine, "ann", doubts=["lost"])
        ann = self.do(engine, "in_doubt_list")["customers"][0]
        self.assertEqual(ann["exposure"]["engines"], 1)
        loose = self.open(server.engine("loose", deny_unconnected=False))
        self.assertEqual(away(), 0)
        loose.ask("bye")
        self.assertEqual(away(), 0)


class Rows(ServerTest):
    def test_rows_are_exchanged_and_outlive_the_server(self):
        server = self.start()
        first, second = self.open(server.engine("e1")), self.open(server.engine("e2"))
        version = first.write("ann", 0, {"a": 1.5, "b": [1, 2]})["versions"][0]
        refused = second.write("ann", 0, {"a": 2})["current"][0]
        self.assertEqual((refused["id"], refused["version"]), ("ann", version))
        self.assertEqual(refused["record"], {"a": 1.5, "b": [1, 2]})
        newer = second.write("ann", version, {"a": 2})["versions"][0]
        self.assertGreater(newer, version)
        first.write("bob", 0, {"b": 1})
        scanned = first.ask("scan", after="", limit=1)
        self.assertEqual(([row["id"] for row in scanned["rows"]], scanned["more"]), (["ann"], True))
        first.ask("estimates", text='{"e":1}')
        self.assertEqual(server.metric("limitr_transactions_written_total"), 3)
        self.assertEqual(server.metric("limitr_transactions_conflicting_total"), 1)
        self.assertEqual(server.metric("limitr_customers"), 2)
        self.assertEqual(server.metric("limitr_leases"), 2)
        self.assertEqual(server.stop(), 0)
        self.assertIn("Written: 3 customers in 3 transactions", server.said)

        server = self.start()
        self.assertNotIn("token", server.said)
        third = self.open(server.engine("e3"))
        rows = third.ask("read", ids=["ann", "bob", "cyd"])["rows"]
        self.assertEqual({row["id"]: row["record"] for row in rows},
                         {"ann": {"a": 2}, "bob": {"b": 1}})
        self.assertEqual(third.ask("estimates")["text"], '{"e":1}')
        self.assertGreater(third.write("ann", newer, {"a": 3})["versions"][0], newer)

    def test_a_recall_reaches_the_home(self):
        server = self.start("--lease", "500ms")
        home, other = self.open(server.engine("e1")), self.open(server.engine("e2"))
        answer = other.ask("recall", homes=[{"engine": "e1", "ids": ["ann"]}])
        self.assertEqual(answer["lost"], [])
        self.assertEqual(home.push(), {"type": "recall", "ids": ["ann"]})
        home.socket.close()

        def is_lost():
            return other.ask("recall", homes=[{"engine": "e1", "ids": ["ann"]}])["lost"] == ["e1"]

        wait_until(is_lost, "e1 is lost after its lease")

    def test_many_at_once_share_commits(self):
        server = self.start()
        engines = [self.open(server.engine(f"e{i}")) for i in range(20)]
        for turn in range(5):
            for number, engine in enumerate(engines):
                part = {"id": f"c{number}.{turn}", "version": 0,
                        "write": {"record": {}, "alts": [], "requests": [], "first_request": 0}}
                engine.send_frame(json.dumps({
                    "type": "exchange", "n": 100 + turn,
                    "transactions": [{"number": turn, "parts": [part]}]}).encode())
        for engine in engines:
            answers = [engine.receive() for _ in range(5)]
            self.assertEqual({answer["n"] for answer in answers}, set(range(100, 105)))
            self.assertTrue(all(answer["results"][0]["versions"] for answer in answers))
        self.assertEqual(server.metric("limitr_customers"), 100)
        self.assertLess(server.metric("limitr_store_commits_total"), 100)

    def test_a_second_server_is_told_who_owns_the_store(self):
        server = self.start()
        second = subprocess.run(
            [PROGRAM, "serve", "--listen", "127.0.0.1:0",
             "--store", f"sqlite:{self.folder}/limitr.db"],
            capture_output=True, text=True, timeout=cloud_client.PATIENCE, check=False)
        self.assertEqual(second.returncode, 2)
        self.assertIn(f"process {server.process.pid}", second.stderr)
        self.assertEqual(second.stdout, "")


class Projects(ServerTest):
    def test_each_has_its_own_rows_engines_and_policy(self):
        server = self.start()
        first = self.open(server.engine("e1"))
        first.ask("admin", do="project_create", args={"name": "other"})
        made = first.ask("admin", do="token_create",
                         args={"project": "other", "name": "n", "scopes": ["engine", "admin"]})
        token = made["value"]["token"]
        engine = first.ask("admin", do="token_create",
                           args={"project": "other", "name": "n", "scopes": ["engine"]})
        waiting = self.open(server.connect(engine["value"]["token"]))
        self.assertEqual(
            waiting.ask("hello", protocol=1, engine="e1", limitr="x",
                        deny_unconnected=True)["code"], "policy_invalid")
        first.ask("admin", do="push", args={"project": "other", "document": POLICY % 5,
                                            "format": "yaml"})
        other = self.open(server.connect(token))
        welcome = other.hello("e1")
        self.assertEqual(welcome["project"], "other")
        self.assertIn("5", json.dumps(welcome["policy"]["document"]))
        # The same IDs are other customers, and the same engine another one.
        first.write("ann", 0, {"of": "first"})
        other.write("ann", 0, {"of": "other"})
        for engine, name in ((first, "first"), (other, "other")):
            rows = engine.ask("read", ids=["ann"])["rows"]
            self.assertEqual([row["record"] for row in rows], [{"of": name}])
        other.ask("recall", homes=[{"engine": "e1", "ids": ["ann"]}])
        self.assertEqual(first.ask("renew")["type"], "renewed")
        self.assertNotIn("recall", [message["type"] for message in first.pushed])
        refused = other.ask("admin", do="token_list", args={"project": "default"})
        self.assertEqual(refused["code"], "unauthorized")


class Policies(ServerTest):
    def test_a_file_that_changes_is_put_in_force(self):
        server = self.start()
        engine = self.open(server.engine())
        server.policy.write_text(POLICY % 20)
        pushed = engine.push()
        self.assertEqual((pushed["type"], pushed["version"]), ("policy", 2))
        self.assertIn("20", json.dumps(pushed["document"]))
        server.policy.write_text("policy: { plans: 7 }\n")
        server.wait_for_log("policy_not_taken")
        server.policy.write_text(POLICY % 30)
        self.assertEqual(engine.push()["version"], 3)
        self.assertEqual(server.metric("limitr_policy_version"), 3)

    def test_a_bad_policy_keeps_a_new_server_from_starting(self):
        (cloud_client.pathlib.Path(self.folder) / "bad.yaml").write_text("policy: { plans: 7 }\n")
        run = subprocess.run(
            [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--policy", "bad.yaml",
             "--store", "sqlite:x.db"], cwd=self.folder,
            capture_output=True, text=True, timeout=cloud_client.PATIENCE, check=False)
        self.assertEqual(run.returncode, 2)
        self.assertIn("bad.yaml", run.stderr)

    def test_a_pushed_policy_reaches_engines(self):
        server = self.start(policy=False)
        # Before there is one, only those come who may push it.
        first, second = self.open(server.engine("e1")), self.open(server.engine("e2"))
        made = first.ask("admin", do="token_create", args={"name": "app", "scopes": ["engine"]})
        waiting = self.open(server.connect(made["value"]["token"]))
        answer = waiting.ask("hello", protocol=1, engine="e", limitr="x", deny_unconnected=True)
        self.assertEqual((answer["type"], answer["code"]), ("error", "policy_invalid"))
        document = {"policy": {"credits": {"tok": {}}, "plans": {"pro": {
            "default": True,
            "entitlements": {"chat": {"limit": {"credit": "tok", "value": 77}}}}}}}
        pushed = first.ask("admin", do="push", args={"document": json.dumps(document)})
        self.assertEqual(pushed["type"], "done", pushed)
        self.assertIn("77", json.dumps(second.push()["document"]))
        self.assertEqual(waiting.hello("e")["policy"]["version"], 1)


class Operations(ServerTest):
    def test_paths_answer(self):
        server = self.start()
        self.assertEqual(server.get_json("/healthz"), (200, {"status": "ok"}))
        self.assertEqual(server.get_json("/readyz"), (200, {"status": "ready"}))
        self.assertEqual(server.get_json("/what")[0], 404)
        self.assertEqual(server.get_json("/wss")[0], 426)
        self.assertEqual(server.request("POST", "/healthz")[0], 405)
        self.assertEqual(server.request("POST", "/wss/ticket", b"x" * 70_000)[0], 413)
        self.assertEqual(
            server.request("GET", "/healthz", headers={"X-Long": "x" * 9000})[0], 431)
        with socket.create_connection((server.host, server.port)) as raw:
            raw.sendall(b"this is no HTTP\r\n\r\n")
            self.assertIn(b" 400 ", raw.recv(1 << 16))
        _, headers, body = server.request("GET", "/metrics")
        self.assertTrue(headers["Content-Type"].startswith("text/plain"))
        self.assertIn("limitr_store_exchange_seconds_bucket", body)

    def test_sigterm_finishes_and_tells_engines(self):
        server = self.start()
        engine = self.open(server.engine())
        part = {"id": "ann", "version": 0,
                "write": {"record": {}, "alts": [], "requests": [], "first_request": 0}}
        request = json.dumps({"type": "exchange", "n": 50,
                              "transactions": [{"number": 1, "parts": [part]}]}).encode()
        engine.send_frame(request)
        self.assertTrue(engine.receive()["results"][0]["versions"])
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(engine.closed(), (1001, "the server stops"))
        self.assertEqual(server.stop(None), 0)
        self.assertIn("Written: 1 customers in 1 transactions", server.said)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port))

    def test_the_server_tells_how_it_is(self):
        server = self.start()
        engine = self.open(server.engine("e1"))
        engine.write("ann", 0, {})
        status = engine.ask("admin", do="status", args={})["value"]
        self.assertEqual((status["customers"], status["leases"]), (1, 1))
        self.assertEqual(status["policy_version"], 1)
        engines = engine.ask("admin", do="engines", args={})["value"]["engines"]
        self.assertEqual([one["engine"] for one in engines], ["e1"])
        self.assertTrue(engines[0]["connected"])
        self.assertEqual(engine.ask("admin", do="what", args={})["code"], "invalid_argument")

    def test_where_files_are_few_connections_are_too(self):
        program = cloud_client.pathlib.Path(self.folder) / "few"
        program.write_text(f'#!/bin/sh\nulimit -n 200\nexec {PROGRAM} "$@"\n')
        program.chmod(0o755)
        server = Server(program, self.folder)
        self.addCleanup(lambda: server.process.poll() is None and server.stop(signal.SIGKILL))
        for part in ("event=few_files", "connections=136", "20064 files", "--max-connections"):
            self.assertIn(part, server.log_text())
        for _ in range(136):
            self.addCleanup(socket.create_connection((server.host, server.port)).close)
        self.assertEqual(server.request("GET", "/healthz")[0], 503)

    def test_the_program_shows_customers_of_a_server(self):
        server = self.start()
        engine = self.open(server.engine("e1"))
        room = {"meters": {"chat": {"units": 2, "started": 1764100000000}}, "caps": {}}
        meter = {"credit": "tok", "started": 1764100000000, "value": 3}
        record = {"id": "ann", "plan": "pro", "meters": {"chat": meter},
                  "cloud": {"by": [["e1", 1]], "free": False,
                            "doubts": [{"engine": "e0", "report": 7, "room": room}]}}
        self.assertIn("versions", engine.write("ann", 0, record))

        def shown(*words):
            run = subprocess.run(
                [PROGRAM, *words, "--store", f"sqlite:{self.folder}/limitr.db"],
                capture_output=True, text=True, timeout=cloud_client.PATIENCE, check=False)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            return json.loads(run.stdout)

        # By the policy of the server, and without what is between engines and it.
        listed = shown("customers", "--json")
        self.assertEqual((listed["id"], listed["meters"]["chat"]["value"]), ("ann", 3))
        self.assertNotIn("cloud", listed)
        page = shown("customer", "ann", "--json")
        self.assertNotIn("cloud", page["customer"])
        self.assertEqual(page["meters"]["chat"]["limit"], 10)
        self.assertEqual(page["meters"]["chat"]["remaining"], 5)
        # What is copied to another store has it all.
        self.assertEqual(shown("export")["customers"]["ann"]["cloud"]["doubts"][0]["engine"], "e0")

    def test_sigterm_does_not_wait_for_those_who_say_nothing(self):
        server = self.start()
        silent = self.open(server.engine())
        idle = socket.create_connection((server.host, server.port))
        self.addCleanup(idle.close)
        self.assertEqual(silent.ask("renew")["type"], "renewed")
        self.assertEqual(server.stop(signal.SIGINT), 0)

    def test_what_trickles_is_closed_in_time(self):
        server = self.start("--handshake-timeout", "2s")
        engine = self.open(server.engine())
        sockets = []
        for number in range(2000):
            trickling = socket.create_connection((server.host, server.port))
            self.addCleanup(trickling.close)
            trickling.sendall(b"POST /wss/ticket HTTP/1.1\r\nHost: x\r\n"[: number % 38])
            sockets.append(trickling)
        # Healthy ones go on.
        self.assertEqual(engine.ask("renew")["type"], "renewed")
        self.open(server.engine("e2"))
        left = set(sockets)

        def trickle():
            for one in list(left):
                if is_closed(one):
                    left.discard(one)
                    continue
                try:
                    one.send(b"x")
                except OSError:
                    left.discard(one)
            return not left

        wait_until(trickle, "all that trickle are closed")
        self.assertEqual(engine.ask("renew")["type"], "renewed")

    def test_connections_are_bounded(self):
        server = self.start("--max-connections", "5")
        held = [self.open(server.engine(f"e{i}")) for i in range(4)]
        idle = socket.create_connection((server.host, server.port))
        self.addCleanup(idle.close)
        wait_until(lambda: server.request("GET", "/healthz")[0] == 503, "it is full")
        self.assertIn("--max-connections", server.request("GET", "/healthz")[2])
        idle.close()
        wait_until(lambda: server.request("GET", "/healthz")[0] == 200, "there is room again")
        self.assertEqual(held[0].ask("renew")["type"], "renewed")

    def test_ten_thousand_idle_connections_take_little_and_harm_nobody(self):
        # Each is a file here and one in the server, which inherits what we may have.
        _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        count = min(10_000 // MEMORY_FACTOR, files - 500)
        server = self.start("--lease", "10min", "--idle-timeout", "10min")
        busy = self.open(server.engine("busy"))
        version = busy.write("ann", 0, {"n": 0})["versions"][0]
        with server.ticket_line() as tickets:
            idle = [self.idle(server, next(tickets), f"warm{n}") for n in range(50)]
            before = server.memory()
            for n in range(count):
                idle.append(self.idle(server, next(tickets), f"e{n}"))
                if n % 500 == 0:
                    version = busy.write("ann", version, {"n": n})["versions"][0]
        each = (server.memory() - before) / count
        print(f"\n{count} idle connections take {each / 1000:.1f} kB each", file=sys.stderr)
        self.assertLessEqual(each, 20_000 * MEMORY_FACTOR)

        self.assertIn("versions", busy.write("ann", version, {"n": -1}))
        self.assertEqual(server.get_json("/healthz")[0], 200)
        self.assertEqual(server.metric("limitr_leases"), len(idle) + 1)
        for connection in idle[:: max(1, count // 100)]:
            self.assertEqual(connection.ask("renew")["type"], "renewed")
        for connection in idle:
            connection.socket.setblocking(False)
            self.assertFalse(is_closed(connection.socket))
        self.assertEqual(self.open(server.engine("late")).ask("renew")["type"], "renewed")

    def idle(self, server, ticket, name):
        """A connection of an engine that says no more than hello."""
        connection = self.open(cloud_client.Connection(server.host, server.port, ticket))
        connection.hello(name)
        return connection

    def test_plain_text_stays_on_this_machine(self):
        for arguments in (["--listen", "0.0.0.0:0"], ["--listen", "[::]:0"],
                          ["--tls-cert", "x.pem"], ["--listen", "nowhere"],
                          ["--tls-cert", "none.pem", "--tls-key", "none.pem"]):
            run = subprocess.run([PROGRAM, "serve", *arguments], cwd=self.folder,
                                 capture_output=True, text=True, timeout=cloud_client.PATIENCE,
                                 check=False)
            self.assertEqual(run.returncode, 2, arguments)
            self.assertEqual(run.stdout, "")

    def test_no_token_or_ticket_is_in_log_or_store(self):
        server = self.start()
        ticket = server.ticket()
        engine = self.open(cloud_client.Connection(server.host, server.port, ticket))
        engine.hello()
        made = engine.ask("admin", do="token_create", args={"name": "n", "scopes": ["read"]})
        secrets = [server.token, ticket, made["value"]["token"]]
        server.ask_ticket(secrets[2] + "x")
        metrics = server.request("GET", "/metrics")[2]
        server.stop()
        folder = cloud_client.pathlib.Path(self.folder)
        texts = [metrics.encode()] + [
            path.read_bytes() for path in folder.iterdir() if path.name != "token"]
        for secret in secrets:
            for text in texts:
                self.assertNotIn(secret.encode(), text)


class Tls(ServerTest):
    def test_engines_come_over_tls(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=x",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            cwd=self.folder, check=True, capture_output=True)
        cert = f"{self.folder}/cert.pem"
        server = self.start("--tls-cert", cert, "--tls-key", f"{self.folder}/key.pem",
                            "--handshake-timeout", "500ms", trusts=cert)
        self.assertIn("Serving at https://", server.said)
        engine = self.open(server.engine())
        self.assertEqual(engine.ask("renew")["type"], "renewed")
        for oldest, is_good in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
            context = ssl.create_default_context(cafile=cert)
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = ssl.TLSVersion.TLSv1_1
                context.maximum_version = oldest
            with socket.create_connection((server.host, server.port)) as raw:
                try:
                    context.wrap_socket(raw, server_hostname="127.0.0.1").close()
                    self.assertTrue(is_good, oldest)
                except (ssl.SSLError, ConnectionResetError):
                    self.assertFalse(is_good, oldest)
        # Plain text, and nothing at all.
        with socket.create_connection((server.host, server.port)) as raw:
            raw.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            self.assertNotIn(b"HTTP", raw.recv(1 << 16))
        with socket.create_connection((server.host, server.port)) as raw:
            raw.settimeout(cloud_client.PATIENCE)
            self.assertEqual(raw.recv(1), b"")
        self.assertEqual(server.stop(), 0)


class OnPostgres(ServerTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.database = Postgres(POSTGRES_BIN, folder.name)
        self.addCleanup(self.database.stop)

    def test_two_servers_have_the_same_rows(self):
        one = self.start(store=self.database.url)
        two = self.start(store=self.database.url)
        first, second = self.open(one.engine("e1")), self.open(two.engine("e2"))
        version = first.write("ann", 0, {"a": 1})["versions"][0]
        self.assertEqual(second.write("ann", 0, {"a": 2})["current"][0]["version"], version)
        newer = second.write("ann", version, {"a": 2})["versions"][0]
        self.assertGreater(newer, version)
        rows = first.ask("read", ids=["ann"])["rows"]
        self.assertEqual([(row["record"], row["version"]) for row in rows], [({"a": 2}, newer)])
        # Engines of the other server are not lost, and are asked.
        answer = first.ask("recall", homes=[{"engine": "e2", "ids": ["ann"]}])
        self.assertEqual(answer["lost"], [])
        self.assertEqual(second.push(), {"type": "recall", "ids": ["ann"]})
        # What one is told reaches the engines of the other.
        one.policy.write_text(POLICY % 20)
        self.assertEqual(second.push()["version"], 2)
        self.assertEqual((one.stop(), two.stop()), (0, 0))

    def test_a_recall_reaches_a_home_at_the_other_server(self):
        one = self.start("--lease", "3s", store=self.database.url)
        two = self.start("--lease", "3s", store=self.database.url)
        wanted = [{"engine": "e1", "ids": ["ann", "bob"]}]
        other = self.open(two.engine("e2"))
        # From when this server would know best what was before it began.
        wait_until(lambda: other.ask("recall", homes=[{"engine": "nobody", "ids": []}])["lost"],
                   "the server's first lease is over")
        home = self.open(one.engine("e1"))
        # Those who want customers ask again and again.
        home.socket.settimeout(0.05)
        recalled = []

        def is_recalled():
            lost = other.ask("recall", homes=wanted)["lost"]
            self.assertEqual(lost, [])
            with contextlib.suppress(TimeoutError):
                recalled.append(home.push())
            return recalled

        # Not alive there yet, as far as the other server knew: then it is as good as lost.
        wait_until(lambda: self.database.ask("SELECT count(*) FROM limitr.limitr_engines"
                                             " WHERE engine = 'e1'") == "1", "e1 is known")
        wait_until(is_recalled, "the home is asked")
        self.assertEqual(recalled[0]["type"], "recall")
        self.assertEqual(sorted(recalled[0]["ids"]), ["ann", "bob"])

        # A good-bye is known at the other server within moments, a death when the lease is over.
        home.socket.settimeout(cloud_client.PATIENCE)
        home.ask("bye")
        wait_until(lambda: other.ask("recall", homes=wanted)["lost"] == ["e1"], "e1 is gone")
        dying = self.open(one.engine("e3"))
        wait_until(lambda: self.database.ask("SELECT count(*) FROM limitr.limitr_engines"
                                             " WHERE engine = 'e3'") == "1", "e3 is known")
        lost = [{"engine": "e3", "ids": ["ann"]}]
        self.assertEqual(other.ask("recall", homes=lost)["lost"], [])
        dying.socket.close()
        one.stop(signal.SIGKILL)
        self.assertEqual(other.ask("recall", homes=lost)["lost"], [])
        wait_until(lambda: other.ask("recall", homes=lost)["lost"] == ["e3"], "e3 is lost")

    def test_what_is_in_doubt_is_released_beside_a_server(self):
        server = self.start(store=self.database.url)
        engine = self.open(server.engine())
        engine.write("ann", 0, {"id": "ann", **shared(2, doubts=["lost"])})
        for say in ('"released":1', '"released":0'):
            run = subprocess.run([PROGRAM, "in-doubt", "release", "ann", "--json", "--store",
                                  self.database.url], capture_output=True, text=True, check=False)
            self.assertIn(say, run.stdout.replace(" ", ""), run.stderr)
        row = engine.ask("read", ids=["ann"])["rows"][0]
        self.assertEqual([one["released"] for one in row["record"]["cloud"]["doubts"]], [True])
        written = engine.write("ann", row["version"], {"id": "ann"})
        self.assertIn("versions", written)

    def test_a_database_that_restarts_is_waited_for(self):
        server = self.start(store=self.database.url)
        engine = self.open(server.engine())
        version = engine.write("ann", 0, {"a": 1})["versions"][0]
        self.database.stop()
        away = engine.write("ann", version, {"a": 2})
        self.assertEqual(away["failure"]["code"], "store_unavailable")
        self.assertEqual(engine.ask("read", ids=["ann"])["code"], "store_unavailable")
        self.assertEqual(server.get_json("/healthz")[0], 200)
        self.database.start()
        written = []

        def is_written():
            written.append(engine.write("ann", version, {"a": 2}))
            return "versions" in written[-1]

        wait_until(is_written, "it is written")
        self.assertGreater(written[-1]["versions"][0], version)
        self.assertEqual(engine.ask("renew")["type"], "renewed")
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    POSTGRES_BIN = sys.argv.pop(1)
    unittest.main()
