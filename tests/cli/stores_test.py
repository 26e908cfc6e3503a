# SPDX-License-Identifier: Apache-2.0
"""The commands on a store, as scripts see them: two processes, real files.

    tests/cli/stores_test.py PROGRAM
"""

import contextlib
import json
import os
import pathlib
import pty
import signal
import sqlite3
import subprocess
import sys
import unittest

import program_test

POLICY = """\
policy:
  credits: { tok: { price: { amount: 0.5 } }, seat: {}, space: { stof_units: MB } }
  plans:
    free:
      default: true
      entitlements: { chat: { limit: { credit: tok, value: 10 } } }
    pro:
      entitlements:
        chat: { limit: { credit: tok, value: 100 } }
        seats: { scope: org, limit: { credit: seat, value: 3 } }
        disk: { limit: { credit: space, value: 2GB, mode: soft } }
        export: {}
      topups: { pack: { credit: tok, value: 50 } }
"""
# A step that reads a FIFO waits there, and the store is owned until somebody writes to it.
HOLDER = """\
policy: policy.yaml
steps:
  - { at: 2026-03-01, call: create_customer, args: { id: joe, plan: pro } }
  - { at: +1s, call: allow, args: { id: joe, entitlement: chat, value: 7 } }
  - { at: +1s, call: set_policy, args: { policy: fifo.yaml } }
  - { at: +1s, call: allow, args: { id: joe, entitlement: chat, value: 5 } }
"""
WRITERS = (
    ["allow", "ann", "chat"],
    ["increment", "ann", "chat"],
    ["decrement", "ann", "chat"],
    ["set", "ann", "chat", "1"],
    ["reserve", "ann", "chat"],
    ["settle", "ann", "chat", "h", "1"],
    ["release", "ann", "chat", "h"],
    ["create", "bob"],
    ["plan", "ann", "free"],
    ["topup", "ann", "pack"],
    ["override", "ann", "chat", "5"],
    ["delete", "ann"],
    ["import", "empty.json"],
)
READERS = (
    ["check", "ann", "chat"],
    ["held", "ann", "chat"],
    ["customers"],
    ["customers", "--json"],
    ["customer", "ann"],
    ["export"],
    ["fsck"],
    ["policy"],
    ["store"],
)


class StoreTest(program_test.ProgramTest):
    def setUp(self):
        super().setUp()
        self.write("policy.yaml", POLICY)
        self.write("empty.json", "{}")

    def on(self, command, *arguments, store="sqlite:a.db", **how):
        return self.limitr(command, "--store", store, *arguments, **how)

    def on_as_json(self, command, *arguments, store="sqlite:a.db", **how):
        return self.as_json(command, "--store", store, *arguments, **how)

    def begin(self, *ids, plan="pro", store="sqlite:a.db"):
        for name in ids:
            self.on("create", name, "--plan", plan, "--policy", "policy.yaml", store=store)

    def value(self, customer="ann", entitlement="chat", store="sqlite:a.db"):
        page = self.on_as_json("customer", customer, store=store)
        return page["meters"][entitlement]["value"]

    @contextlib.contextmanager
    def owner(self):
        """A process that owns a.db, as long as the block lasts."""
        self.write("holder.yaml", HOLDER)
        os.mkfifo(self.folder / "fifo.yaml")
        with subprocess.Popen(
            [program_test.PROGRAM, "run", "holder.yaml", "--store", "sqlite:a.db"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            try:
                # From when it waits for the FIFO on, all that it has done stands in the store.
                with open(self.folder / "fifo.yaml", "w", encoding="utf-8") as fifo:
                    yield program
                    if program.poll() is None:
                        fifo.write(POLICY)
            finally:
                if program.poll() is None and sys.exc_info()[0]:
                    program.kill()
            program.out, program.err = program.communicate(timeout=60)

    def database(self, *statements):
        connection = sqlite3.connect(self.folder / "a.db")
        with contextlib.closing(connection), connection:
            for statement in statements:
                connection.execute(statement)


class Asking(StoreTest):
    def test_help_of_each_teaches_and_names_store(self):
        for command, *_ in WRITERS + READERS:
            with self.subTest(command):
                out, _ = self.limitr("help", command)
                self.assertIn("Examples:", out)
                self.assertIn(f"limitr {command} ", out)
                self.assertIn("--store", out)

    def test_a_store_is_needed_and_must_be_one(self):
        for command, *arguments in WRITERS + READERS:
            with self.subTest(command):
                _, err = self.limitr(command, *arguments, code=2)
                self.assertIn("--store", err)
                for url, problem in (
                    ("a.db", "`a.db` is no store"),
                    ("oracle:a.db", "there is no store of the kind `oracle`"),
                    ("sqlite:", "names no file"),
                    ("sqlite:none/a.db", "none"),
                    ("sqlite:policy.yaml", "policy.yaml"),
                ):
                    out, err = self.on(command, *arguments, store=url, code=2)
                    self.assertEqual(out, "")
                    self.assertIn(problem, err)

    def test_without_a_policy_anywhere_an_error_says_so(self):
        for command, *arguments in WRITERS:
            with self.subTest(command):
                _, err = self.on(command, *arguments, code=2)
                self.assertIn("give a policy with --policy", err)
                self.assertFalse((self.folder / "a.db").exists(), "nothing was made")
        for command, *arguments in READERS:
            with self.subTest(command):
                self.assertIn("there is no such file", self.on(command, *arguments, code=2)[1])
                self.assertFalse((self.folder / "a.db").exists(), "nothing was made")

    def test_a_store_whose_policy_was_never_written(self):
        self.begin("ann")
        self.database("UPDATE texts SET version = 0 WHERE name = 'policy'")
        if "keeps no policy" not in self.on("policy", code=2)[1]:
            self.database("DELETE FROM texts WHERE name = 'policy'")
        for command in (["policy"], ["check", "ann", "chat"], ["customer", "ann"], ["allow", "ann", "chat"]):
            with self.subTest(command):
                self.assertIn("policy", self.on(*command, code=2)[1])
        self.assertIn("ann", self.on("customers")[0], "a list needs none")
        self.on("check", "ann", "chat", "--policy", "policy.yaml")

    def test_a_policy_that_is_given_overrides_and_is_kept_by_what_writes(self):
        self.begin("ann")
        self.write("less.yaml", POLICY.replace("value: 100 ", "value: 20 "))
        self.on("check", "ann", "chat", "50", "--policy", "less.yaml", code=1)
        self.on("check", "ann", "chat", "50")
        self.on("allow", "ann", "chat", "50", "--policy", "less.yaml", code=1)
        self.on("check", "ann", "chat", "50", code=1)
        self.assertEqual(json.loads(self.on("policy")[0])["policy"]["plans"]["pro"]["entitlements"]["chat"],
                         {"limit": {"credit": "tok", "value": 20}})

    def test_a_policy_file_that_cannot_be_used_is_named(self):
        self.begin("ann")
        for command in (["allow", "ann", "chat"], ["check", "ann", "chat"], ["customer", "ann"]):
            self.assertIn("none.yaml", self.on(*command, "--policy", "none.yaml", code=2)[1])
            self.assertRegex(self.on(*command, "--policy", "bad.yaml", code=2)[1], r"bad\.yaml:? ?\S*policy\.plans")
        self.assertEqual(self.on("check", "ann", "chat", "100")[1], "", "the stored one stays")

    def test_the_policy_keeps_its_order(self):
        self.write("policy.yaml", POLICY.replace("topups: { pack: { credit: tok, value: 50 } }",
                                                 "topups: { z: { credit: tok, value: 1 }, a: { credit: tok, value: 2 } }"))
        self.begin("ann")
        out, _ = self.on("policy")
        self.assertLess(out.index('"z"'), out.index('"a"'))
        self.on("allow", "ann", "chat", "1")
        self.assertEqual(self.on("policy")[0], out)


class Calls(StoreTest):
    def test_allow_prints_the_decision_and_the_exit_code_is_the_answer(self):
        self.begin("ann")
        self.assertEqual(self.on("allow", "ann", "chat", "30"), ("allowed: 30 of 100 used, 70 left\n", ""))
        out, _ = self.on("allow", "ann", "chat", "80", code=1)
        self.assertTrue(out.startswith("denied (limit): 30 of 100 used, 70 left"), out)
        self.assertEqual(self.on("allow", "bob", "chat", code=1)[0], "denied (unknown_customer)\n")
        self.assertEqual(self.on("allow", "ann", "talk", code=1)[0], "denied (unknown_entitlement)\n")
        self.assertEqual(self.on("allow", "ann", "export")[0], "allowed\n")
        self.assertEqual(self.value(), 30)

    def test_json_has_every_field_of_a_decision(self):
        self.begin("ann")
        for command in ("allow", "check"):
            decision = self.on_as_json(command, "ann", "chat", "30")
            self.assertEqual((decision["allowed"], decision["limit"]), (True, 100))
        self.assertLessEqual({"allowed", "repeated", "reason", "value", "limit", "remaining", "resets",
                              "overage", "overhead", "overage_price"}, set(decision))
        self.assertEqual(self.on_as_json("allow", "ann", "chat", "80", code=1)["reason"], "limit")

    def test_values_have_units_and_may_be_negative(self):
        self.begin("ann")
        self.assertEqual(self.on("allow", "ann", "disk", "1.5 GB")[0], "allowed: 1500 of 2000 used, 500 left\n")
        self.assertEqual(self.on("allow", "ann", "disk", "700MB")[0], "allowed: 2200 of 2000 used, 200 over\n")
        self.assertEqual(self.on("allow", "ann", "disk", "--", "-1_000 MB")[0], "allowed: 1200 of 2000 used, 800 left\n")
        self.on("allow", "ann", "chat", "30")
        self.assertEqual(self.on("allow", "ann", "chat", "-10")[0], "allowed: 20 of 100 used, 80 left\n")
        for wrong in ("5 parsecs", "5 seconds", "many", "1e999"):
            with self.subTest(wrong):
                out, err = self.on("allow", "ann", "disk", wrong, code=2)
                self.assertEqual(out, "")
                self.assertNotEqual(err, "")
        self.assertEqual(self.value(entitlement="disk"), 1200)

    def test_check_meters_nothing_and_agrees_with_allow(self):
        self.begin("ann")
        before = self.on("export")
        self.assertEqual(self.on("check", "ann", "chat", "30")[0], "allowed: 30 of 100 used, 70 left\n")
        self.on("check", "ann", "chat", "101", code=1)
        self.assertEqual(self.on("export"), before)

    def test_increment_decrement_and_set(self):
        self.begin("ann", "org")
        self.on("increment", "ann", "chat")
        self.on("increment", "ann", "chat")
        self.assertEqual(self.on("decrement", "ann", "chat")[0], "allowed: 1 of 100 used, 99 left\n")
        self.assertEqual(self.on("set", "ann", "chat", "7")[0], "allowed: 7 of 100 used, 93 left\n")
        self.on("set", "ann", "chat", "101", code=1)
        self.on("set", "ann", "chat", code=2)
        self.assertEqual(self.value(), 7)

    def test_a_request_counts_once(self):
        self.begin("ann")
        first, _ = self.on("allow", "ann", "chat", "30", "--request", "r1")
        again, _ = self.on("allow", "ann", "chat", "30", "--request", "r1")
        self.assertEqual(again, first.replace("\n", " (repeated)\n"))
        self.assertEqual(self.on_as_json("check", "ann", "chat", "30", "--request", "r1")["repeated"], True)
        self.assertIn("r1", self.on("allow", "ann", "chat", "31", "--request", "r1", code=2)[1])
        self.assertEqual(self.value(), 30)

    def test_force_overhead_and_event_data(self):
        self.begin("ann")
        self.on("allow", "ann", "chat", "130", code=1)
        self.on("allow", "ann", "chat", "130", "--force")
        decision = self.on_as_json("allow", "ann", "chat", "1", "--force", "--overhead", "2.5",
                                   "--event-data", '{"model": "m"}')
        self.assertEqual(decision["overhead"], 2.5)
        self.assertEqual(self.value(), 131)
        for wrong in (["--event-data", "[1]"], ["--event-data", "{"], ["--overhead", "much"]):
            self.assertIn(wrong[0], self.on("allow", "ann", "chat", "1", *wrong, code=2)[1])

    def test_holds(self):
        self.begin("ann")
        hold = self.on("reserve", "ann", "chat", "40", "--ttl", "10min")[0].strip()
        self.assertEqual(self.on("held", "ann", "chat")[0], "40\n")
        self.assertEqual(self.on_as_json("held", "ann", "chat"), {"held": 40})
        self.on("allow", "ann", "chat", "70", code=1)
        self.assertEqual(self.on("settle", "ann", "chat", hold, "25")[0], "allowed: 25 of 100 used, 75 left\n")
        self.assertEqual(self.on("release", "ann", "chat", hold, code=1)[0], "there is no such hold\n")
        other = self.on_as_json("reserve", "ann", "chat", "10", "--request", "r1")["hold"]
        self.assertEqual(self.on_as_json("reserve", "ann", "chat", "10", "--request", "r1")["hold"], other)
        self.assertEqual(self.on_as_json("release", "ann", "chat", other), {"released": True})
        out, err = self.on("reserve", "ann", "chat", "500", code=1)
        self.assertEqual(out, "")
        self.assertIn("nothing is held", err)
        self.assertEqual(self.on_as_json("reserve", "ann", "chat", "500", code=1), {"hold": None})
        self.assertEqual(self.on("held", "ann", "chat")[0], "0\n")

    def test_a_read_sees_whoever_the_refs_reach(self):
        self.begin("org")
        self.on("create", "org", code=1)
        self.on("delete", "org")
        self.on("create", "org", "--type", "org", "--plan", "pro", "--alt", "the-org")
        self.on("create", "team", "--type", "team", "--plan", "pro", "--ref", "the-org", "--ref", "nobody")
        self.on("create", "ann", "--plan", "pro", "--ref", "team")
        self.assertEqual(self.on("allow", "ann", "seats", "2")[0], "allowed: 2 of 3 used, 1 left\n")
        self.assertEqual(self.on("check", "ann", "seats", "1")[0], "allowed: 3 of 3 used\n")
        self.on("check", "ann", "seats", "2", code=1)
        self.assertEqual(self.value("org", "seats"), 2)
        self.assertEqual(self.value("ann", "seats"), 2)


    def test_durability(self):
        self.begin("ann")
        for durability in ("sync", "interval", "manual"):
            self.on("allow", "ann", "chat", "1", "--durability", durability, "--accept-weaker")
        self.assertEqual(self.value(), 3)
        self.assertIn("there is no durability `safe`",
                      self.on("allow", "ann", "chat", "1", "--durability", "safe", code=2)[1])


class Changes(StoreTest):
    def test_create(self):
        out, _ = self.on("create", "ann", "--plan", "pro", "--label", "Ann", "--alt", "ann@x",
                         "--metadata", '{"since": 2026}', "--policy", "policy.yaml")
        self.assertEqual(out, "created `ann` on plan `pro`\n")
        self.assertEqual(self.on("create", "ann", "--plan", "free", code=1)[0],
                         "`ann` is there already, and stays as it is\n")
        record = self.on_as_json("customer", "ann@x")["customer"]
        self.assertEqual((record["id"], record["plan"], record["label"], record["alt_ids"], record["metadata"]),
                         ("ann", "pro", "Ann", ["ann@x"], {"since": 2026}))
        self.assertEqual(self.on_as_json("create", "bob"), {"customer": "bob", "created": True})
        self.assertEqual(self.on_as_json("customer", "bob")["plan"], "free")
        self.assertIn("id", self.on("create", "", code=2)[1])

    def test_plan(self):
        self.begin("ann")
        self.assertEqual(self.on("plan", "ann", "free")[0], "`ann` is on plan `free` now\n")
        self.assertEqual(self.on("plan", "ann", "free", code=1)[0], "`ann` is on plan `free` already\n")
        self.assertEqual(self.on("plan", "ann", "gold", code=1)[0], "the policy has no plan `gold`\n")
        self.assertEqual(self.on("plan", "bob", "free", code=1)[0], "there is no customer `bob`\n")
        answer = self.on_as_json("plan", "ann", "gold", code=1)
        self.assertEqual((answer["customer"], answer["changed"]), ("ann", False))

    def test_topup(self):
        self.begin("ann")
        self.on("topup", "ann", "pack", "--request", "order")
        self.on("topup", "ann", "pack", "--request", "order")
        grants = self.on_as_json("customer", "ann")["customer"]["grants"].values()
        self.assertEqual([(grant["topup"], grant["value"]) for grant in grants], [("pack", 50)])
        self.assertEqual(self.on("topup", "ann", "none", code=1)[0], "plan `pro` has no topup `none`\n")
        self.assertEqual(self.on("topup", "bob", "pack", code=1)[0], "there is no customer `bob`\n")

    def test_override(self):
        self.begin("ann")
        self.on("override", "ann", "chat", "200", "--expires", "+30d")
        self.on("check", "ann", "chat", "150")
        self.on("override", "ann", "chat", "200", "--expires", "2020-01-01")
        self.on("check", "ann", "chat", "150", code=1)
        self.on("override", "ann", "chat", "--mode", "soft")
        self.on("check", "ann", "chat", "150")
        self.on("override", "ann", "chat", "--remove")
        self.on("check", "ann", "chat", "150", code=1)
        self.on("override", "ann", "chat", "--remove", code=1)
        self.on("override", "ann", "none", "5", code=1)
        self.assertIn("value", self.on("override", "ann", "chat", code=2)[1])
        self.assertIn("--expires", self.on("override", "ann", "chat", "5", "--expires", "soon", code=2)[1])
        self.on("override", "ann", "chat", "5", "--mode", "firm", code=2)

    def test_delete(self):
        self.begin("ann", "bob")
        self.assertEqual(self.on("delete", "ann")[0], "deleted `ann`\n")
        self.assertEqual(self.on("delete", "ann", code=1)[0], "there is no customer `ann`\n")
        self.assertEqual(self.on_as_json("store")["customers"], 1)


class Owned(StoreTest):
    def test_what_reads_works_while_an_owner_lives_and_what_writes_names_it(self):
        self.begin("ann")
        with self.owner() as program:
            exported = self.on("export")
            for command, *arguments in WRITERS:
                with self.subTest(command):
                    out, err = self.on(command, *arguments, code=2)
                    self.assertEqual(out, "")
                    self.assertIn(f"process {program.pid} on ", err)
            for command, *arguments in READERS:
                with self.subTest(command):
                    self.on(command, *arguments)
            self.assertEqual(self.on_as_json("store")["owner"]["process"], program.pid)
            self.assertIn(f"process {program.pid} on ", self.on("store")[0])
            self.assertEqual(self.value("joe"), 7, "what the owner has written so far")
            self.assertEqual(self.on("export"), exported)
        self.assertEqual(program.returncode, 0, program.err)
        self.assertEqual(self.value("joe"), 12)
        self.assertIsNone(self.on_as_json("store")["owner"])

    def test_sigterm_ends_a_run_after_its_step_and_what_was_written_is_said(self):
        with self.owner() as program:
            program.send_signal(signal.SIGTERM)
        self.assertEqual(program.returncode, -signal.SIGTERM)
        self.assertRegex(program.err, r"limitr: \d+ records written to sqlite:a.db\n")
        self.assertEqual(program.out.count("allow"), 2, "a call, and its answer")
        self.assertEqual(self.value("joe"), 7)
        self.assertIsNone(self.on_as_json("store")["owner"])

    def test_what_a_killed_owner_had_answered_is_there(self):
        with self.owner() as program:
            program.kill()
            program.wait(timeout=60)
        self.assertEqual(self.value("joe"), 7)
        self.assertEqual(self.on("allow", "joe", "chat", "1")[0], "allowed: 8 of 100 used, 92 left\n")
        self.on("fsck")


class Lists(StoreTest):
    def test_a_table_a_page_at_a_time(self):
        self.begin("ann", "bob", "joe")
        self.on("plan", "bob", "free")
        self.on("allow", "bob", "chat", "9")
        out, err = self.on("customers")
        self.assertEqual([line.split() for line in out.splitlines()],
                         [["customer", "plan", "type", "meters", "fullest"],
                          ["ann", "pro", "user", "3", "chat", "0%"],
                          ["bob", "free", "user", "3", "chat", "90%"],
                          ["joe", "pro", "user", "3", "chat", "0%"]])
        self.assertEqual(err, "")
        out, err = self.on("customers", "--limit", "2")
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["customer", "ann", "bob"])
        self.assertIn("--after bob", err)
        out, err = self.on("customers", "--after", "bob", "--limit", "2")
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["customer", "joe"])
        self.assertEqual(err, "")
        out, _ = self.on("customers", "--plan", "free")
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["customer", "bob"])
        self.on("customers", "--limit", "few", code=2)

    def test_json_is_a_record_a_line(self):
        self.begin("ann", "bob", "joe")
        out, err = self.on("customers", "--json")
        self.assertEqual([json.loads(line)["id"] for line in out.splitlines()], ["ann", "bob", "joe"])
        self.assertEqual(err, "")
        out, _ = self.on("customers", "--json", "--after", "ann", "--limit", "1")
        self.assertEqual([json.loads(line)["id"] for line in out.splitlines()], ["bob"])
        self.assertEqual(self.on("customers", "--json", "--limit", "0"), ("", ""))

    def test_the_page_of_a_customer(self):
        self.begin("org")
        self.on("create", "ann", "--plan", "pro", "--alt", "ann@x", "--ref", "org", "--metadata", '{"a": 1}')
        self.on("allow", "ann", "chat", "75")
        self.on("topup", "ann", "pack")
        self.on("override", "ann", "disk", "5GB")
        hold = self.on("reserve", "ann", "chat", "5")[0].strip()
        out, err = self.on("customer", "ann@x")
        self.assertEqual(err, "")
        lines = {line.split()[0]: line.split() for line in out.splitlines() if line}
        self.assertEqual(out.splitlines()[0], "ann")
        self.assertEqual(lines["plan"], ["plan", "pro"])
        self.assertEqual(lines["refs"], ["refs", "org"])
        self.assertIn("ann@x", out)
        self.assertIn('{"a":1}', out)
        self.assertEqual(lines["chat"][:5], ["chat", "[###############-----]", "75", "100", "tok"])
        self.assertEqual(lines["export"], ["export", "no", "limit"])
        self.assertIn("own limit", out)
        self.assertIn("pack", out)
        self.assertEqual(lines[hold][:3], [hold, "chat", "5"])
        self.assertNotIn("\x1b", out)

    def test_the_page_as_json(self):
        self.begin("ann")
        self.on("allow", "ann", "chat", "75")
        self.on("reserve", "ann", "chat", "5")
        page = self.on_as_json("customer", "ann")
        self.assertEqual(page["customer"]["id"], "ann")
        self.assertEqual(page["plan"], "pro")
        self.assertEqual(page["meters"]["chat"],
                         {"credit": "tok", "mode": "hard", "value": 75, "limit": 100, "remaining": 25,
                          "held": 5, "resets": None, "own_limit": False, "in_plan": True})
        self.assertIsNone(page["meters"]["export"]["limit"])

    def test_a_meter_that_no_plan_has_is_shown_as_such(self):
        self.begin("ann")
        self.on("allow", "ann", "chat", "75")
        self.write("new.yaml", POLICY.replace("chat:", "talk:"))
        out, _ = self.on("customer", "ann", "--policy", "new.yaml")
        self.assertRegex(out, r"(?m)^chat .* 75 .*not in the plan$")

    def test_who_is_not_there(self):
        self.begin("ann")
        out, err = self.on("customer", "bob", code=1)
        self.assertEqual((out, err), ("", "limitr: there is no customer `bob`\n"))

    def test_no_name_gives_orders_to_a_terminal(self):
        self.begin("a\x1b[2J")
        self.on("allow", "a\x1b[2J", "chat", "1")
        for command in (["customers"], ["customers", "--json"], ["customer", "a\x1b[2J"],
                        ["customer", "a\x1b[2J", "--json"], ["delete", "a\x1b[2J"]):
            text = "".join(self.on(*command))
            self.assertIn("\\u001b", text)
            self.assertNotIn("\x1b", text)


class Transfers(StoreTest):
    def fill(self):
        self.begin("ann", "bob")
        self.on("allow", "ann", "chat", "30", "--request", "r1")
        self.on("allow", "ann", "chat", "3", "--request", "r2")
        self.on("allow", "bob", "chat", "1", "--request", "r1")
        self.on("topup", "bob", "pack")
        hold = self.on("reserve", "bob", "chat", "5")[0].strip()
        self.on("settle", "bob", "chat", hold, "4")
        self.on("reserve", "bob", "chat", "2")

    def test_an_export_is_the_same_from_the_store_that_it_was_imported_into(self):
        self.fill()
        text, _ = self.on("export")
        whole = json.loads(text)
        self.assertEqual(list(whole), ["format", "customers", "estimates", "requests"])
        self.assertEqual(list(whole["customers"]), ["ann", "bob"])
        self.assertEqual([(r["customer"], r["request"]) for r in whole["requests"]],
                         [("ann", "r1"), ("ann", "r2"), ("bob", "r1")])
        self.assertEqual(whole["estimates"]["chat"]["all"]["samples"], 1)
        out, _ = self.on("import", "--policy", "policy.yaml", store="sqlite:b.db", stdin=text)
        self.assertEqual(out, "2 customers loaded, 0 refused, 2 records written to sqlite:b.db\n")
        self.assertEqual(self.on("export", store="sqlite:b.db"), (text, ""))
        self.assertEqual(self.on_as_json("check", "ann", "chat", "30", "--request", "r1",
                                         store="sqlite:b.db")["repeated"], True)
        self.on("fsck", store="sqlite:b.db")

    def test_an_export_to_a_file_is_whole_or_not_there(self):
        self.fill()
        out, _ = self.on("export", "-o", "out.json")
        self.assertEqual(out, "2 customers and 3 requests exported to out.json\n")
        self.assertEqual((self.folder / "out.json").read_text(), self.on("export")[0])
        self.assertEqual([f.name for f in self.folder.glob("out*")], ["out.json"])
        self.on("export", "-o", "none/out.json", code=2)
        (self.folder / "taken").mkdir()
        self.on("export", "-o", "taken", code=2)
        self.on("export", "-o", "", code=2)
        # The table is gone in the middle of things: the old file stays.
        self.database("DROP TABLE requests")
        self.on("export", "-o", "out.json", code=2)
        self.assertEqual(len(json.loads((self.folder / "out.json").read_text())["customers"]), 2)
        self.assertEqual([f.name for f in self.folder.glob("out*")], ["out.json"])

    def test_output_that_cannot_be_written_is_2(self):
        self.fill()
        done = subprocess.run(
            f'"{program_test.PROGRAM}" export --store sqlite:a.db >/dev/full',
            shell=True, cwd=self.folder, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot write the output", done.stderr)

    def test_what_is_damaged_is_named_and_the_rest_comes_out(self):
        self.fill()
        self.database("UPDATE customers SET record = replace(record, 'pro', 'pre') WHERE id = 'ann'",
                      "UPDATE requests SET answer = 'true' WHERE customer = 'bob'")
        out, err = self.on("export", code=1)
        whole = json.loads(out)
        self.assertEqual((list(whole["customers"]), whole["requests"]), (["bob"], []))
        self.assertIn("`ann`", err)
        self.assertIn("`bob`", err)
        self.assertIn("`ann`", self.on("customers", "--json", code=1)[1])

    def test_who_is_there_already_is_refused_unless_replaced(self):
        self.fill()
        text, _ = self.on("export")
        self.begin("bob", store="sqlite:b.db")
        self.on("allow", "bob", "chat", "50", store="sqlite:b.db")
        out, err = self.on("import", "-", "--policy", "policy.yaml", store="sqlite:b.db", stdin=text, code=1)
        self.assertIn("1 customer loaded, 1 refused", out)
        self.assertIn("customer bob was refused: a customer of this ID is there already", err)
        self.assertEqual(self.value("bob", store="sqlite:b.db"), 50)
        requests = json.loads(self.on("export", store="sqlite:b.db")[0])["requests"]
        self.assertEqual({request["customer"] for request in requests}, {"ann"})
        report = self.on_as_json("import", "--replace", store="sqlite:b.db", stdin=text)
        self.assertEqual((report["loaded"], report["refused"]), (2, []))
        self.assertEqual(self.value("bob", store="sqlite:b.db"), 5)

    def test_bad_records_are_named_and_the_good_ones_loaded(self):
        self.begin("ann")
        self.write("in.json", '{"bob": {"id": "bob", "meters": {"chat": {"value": "no"}}},'
                              ' "joe": {"id": "joe", "plan": "pro", "meters": {"old": {"credit": "tok", "value": 1}}}}')
        report = self.on_as_json("import", "in.json", code=1)
        self.assertEqual(report["loaded"], 1)
        self.assertEqual([(r["id"], r["code"], r["where"]) for r in report["refused"]],
                         [("bob", "record_invalid", "meters.chat.value")])
        self.assertEqual(report["unmapped"], [{"customer": "joe", "entitlement": "old"}])
        self.write("in.json", '{"eve": {"id": "eve"}, "tom": ?}')
        out, err = self.on("import", "in.json", code=1)
        self.assertIn("1 customer loaded, 1 refused", out)
        self.assertIn("in.json: customer tom was refused: a record must be an object", err)
        self.write("in.json", "nothing")
        self.assertIn("in.json", self.on("import", "in.json", code=2)[1])
        self.assertIn("none.json", self.on("import", "none.json", code=2)[1])
        self.assertIn("joe", self.on("customers")[0])

    def test_more_than_a_batch(self):
        count = 2500
        customers = {f"c{i:04}": {"id": f"c{i:04}", "plan": "pro", "alt_ids": [f"alt{i}"]} for i in range(count)}
        requests = [{"customer": f"c{i:04}", "request": "r", "fingerprint": "00000000000000ff", "answer": True,
                     "at": 1772355600000} for i in range(count)]
        text = json.dumps({"format": 1, "customers": customers, "estimates": {}, "requests": requests})
        out, _ = self.on("import", "--policy", "policy.yaml", stdin=text)
        self.assertIn(f"{count} customers loaded, 0 refused", out)
        exported = json.loads(self.on("export")[0])
        self.assertEqual(list(exported["customers"]), list(customers))
        self.assertEqual(exported["requests"], requests)
        self.assertIn(f"{count} customers, {count} remembered requests: the books balance", self.on("fsck")[0])

    def test_an_import_that_waits_for_its_text_ends_when_asked_to(self):
        self.begin("bob")
        main, terminal = pty.openpty()
        with subprocess.Popen(
            [program_test.PROGRAM, "import", "--store", "sqlite:a.db"],
            cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=terminal,
        ) as program:
            os.close(terminal)
            program.stdin.write(b'[{"id":"ann"},')
            program.stdin.flush()
            shown = os.read(main, 4096)
            self.assertIn(b"importing ", shown)
            program.send_signal(signal.SIGTERM)
            self.assertEqual(program.wait(timeout=60), -signal.SIGTERM)
            program.stdin.close()
            while b"asked to end" not in shown:
                shown += os.read(main, 4096)
        os.close(main)
        self.on("fsck")

    def test_a_bar_on_a_terminal_only(self):
        self.fill()
        self.assertEqual(self.on("export")[1], "")
        main, terminal = pty.openpty()
        with subprocess.Popen(
            [program_test.PROGRAM, "export", "--store", "sqlite:a.db"],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=terminal,
        ) as program:
            os.close(terminal)
            self.assertEqual(program.wait(timeout=60), 0)
        self.assertIn(b"exporting [", os.read(main, 4096))
        os.close(main)


class Fsck(StoreTest):
    def test_books_that_balance(self):
        self.begin("ann")
        self.on("topup", "ann", "pack")
        self.on("allow", "ann", "chat", "120", "--request", "r1")
        self.assertEqual(self.on("fsck"), ("1 customer, 1 remembered request: the books balance\n", ""))
        self.assertEqual(self.on_as_json("fsck"), {"customers": 1, "requests": 1, "findings": []})

    def test_a_grant_whose_books_do_not_is_named_with_both_numbers(self):
        grant = {"id": "g", "credit": "tok", "created_on": 1, "granted_on": 1, "starting_value": 50, "value": 40,
                 "drawn": 5, "added": 0, "lost": 0}
        self.write("in.json", json.dumps({"ann": {"id": "ann", "plan": "pro", "grants": {"g": grant}}}))
        self.on("import", "in.json", "--policy", "policy.yaml")
        out, _ = self.on("fsck", code=1)
        self.assertIn("ann: grants.g: starting_value + added is not value + drawn + lost (50 and 45)", out)
        self.assertIn("1 does not", out)
        findings = self.on_as_json("fsck", code=1)["findings"]
        self.assertEqual([(f["customer"], f["field"], f["expected"], f["found"]) for f in findings],
                         [("ann", "grants.g", 50, 45)])

    def test_damage_is_named_by_customer(self):
        for statement, named in (
            ("UPDATE customers SET record = replace(record, 'pro', 'pre') WHERE id = 'ann'", "ann"),
            ("UPDATE customers SET version = version + 1 WHERE id = 'ann'", "ann"),
            ("UPDATE requests SET answer = 'true' WHERE customer = 'ann'", "ann"),
            ("UPDATE alt_ids SET customer = 'bob' WHERE alt = 'ann@x'", "ann@x"),
            ("DELETE FROM alt_ids WHERE alt = 'ann@x'", "ann"),
            ("DELETE FROM requests", ""),
            ("DELETE FROM customers WHERE id = 'bob'", ""),
        ):
            with self.subTest(statement):
                for file in self.folder.glob("a.db*"):
                    file.unlink()
                self.on("create", "ann", "--alt", "ann@x", "--plan", "pro", "--policy", "policy.yaml")
                self.begin("bob")
                self.on("allow", "ann", "chat", "1", "--request", "r1")
                self.on("fsck")
                self.database(statement)
                findings = self.on_as_json("fsck", code=1)["findings"]
                self.assertIn(named, [finding["customer"] for finding in findings])
                self.assertIn("do", self.on("fsck", code=1)[0].splitlines()[-1])


class Store(StoreTest):
    def test_what_a_store_says_of_itself(self):
        self.begin("ann", "bob")
        self.on("allow", "ann", "chat", "1", "--request", "r1")
        for arguments in (["store", "sqlite:a.db"], ["store", "--store", "sqlite:a.db"]):
            status = self.as_json(*arguments)
            self.assertEqual((status["kind"], status["customers"], status["requests"], status["owner"]),
                             ("sqlite", 2, 1, None))
            self.assertEqual((status["schema"], status["has_policy"]), (1, True))
            self.assertGreater(status["bytes"], 0)
            self.assertGreater(status["last_group"], 0)
            self.assertIn("SQLite 3.", status["software"])
        out, _ = self.limitr("store", "sqlite:a.db")
        self.assertRegex(out, r"(?m)^owner +none$")
        self.assertRegex(out, r"(?m)^customers +2$")
        self.limitr("store", code=2)

    def test_run_plays_on_a_store(self):
        self.write("day.yaml", program_test.SCENARIO.replace("good.yaml", "policy.yaml").replace("value: 9", "value: 7"))
        self.limitr("run", "day.yaml", "--store", "sqlite:a.db")
        _, err = self.limitr("run", "day.yaml", "--store", "sqlite:a.db")
        self.assertRegex(err, r"^limitr: \d+ records? written to sqlite:a\.db\n$")
        self.assertEqual(self.value(), 8)
        self.limitr("run", "day.yaml", "--store", "nowhere", code=2)

    def test_a_restart_on_a_store_closes_and_opens_it(self):
        steps = program_test.SCENARIO.replace("good.yaml", "policy.yaml")
        self.write("day.yaml", steps.split("  - at: +1h")[0] + "  - { at: +1s, call: restart }\n"
                   "  - { at: +1s, call: allow, args: { id: ann, entitlement: chat, value: 2 } }\n")
        out, _ = self.limitr("run", "day.yaml", "--store", "sqlite:a.db")
        self.assertIn("6/10", out)
        self.assertEqual(self.value(), 6)

    def test_the_stored_policy_is_validated_and_compared(self):
        self.begin("ann")
        self.assertEqual(self.limitr("validate", "--store", "sqlite:a.db")[0], "sqlite:a.db: valid\n")
        self.limitr("validate", "--store", "sqlite:none.db", code=2)
        self.limitr("validate", code=2)
        self.assertEqual(self.limitr("diff", "--store", "sqlite:a.db", "policy.yaml"), ("", ""))
        self.write("new.yaml", POLICY.replace("value: 100 ", "value: 20 "))
        out, _ = self.limitr("diff", "--store", "sqlite:a.db", "new.yaml", code=1)
        self.assertEqual(out, "~ policy.plans.pro.entitlements.chat.limit.value: 100 -> 20\n")
        self.limitr("diff", "--store", "sqlite:a.db", "policy.yaml", "new.yaml", code=2)
        self.limitr("diff", "--store", "sqlite:a.db", code=2)
        self.limitr("diff", "--store", "sqlite:none.db", "new.yaml", code=2)


if __name__ == "__main__":
    program_test.PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
