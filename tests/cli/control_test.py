# SPDX-License-Identifier: Apache-2.0
"""Policies, tokens and projects of a server, as scripts see them: on its store, and over the server
itself.

    tests/cli/control_test.py PROGRAM
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import unittest

import program_test

TOKEN = re.compile(r"lim_(?:live|test)_[0-9A-Za-z]{49}")


def policy(value):
    return f"""\
policy:
  credits: {{ tok: {{}} }}
  plans: {{ free: {{ default: true, entitlements: {{ chat: {{ limit: {{ credit: tok, value: {value} }} }} }} }} }}
"""


class Serving:
    """A server on the test's store, which ends with it."""

    def __init__(self, test, *arguments):
        log = open(test.folder / "log", "wb")
        test.addCleanup(log.close)
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(
            [program_test.PROGRAM, "serve", "--store", "sqlite:a.db", "--listen", "127.0.0.1:0",
             *arguments],
            cwd=test.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )  # fmt: skip
        test.addCleanup(self.stop)
        for line in self.process.stdout:
            if found := re.search(r"http://\S+", line):
                self.address = found.group()
                break

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=60)
            assert self.process.returncode == 0


class ControlTest(program_test.ProgramTest):
    """On the store. Those below do the same over a server."""

    def setUp(self):
        super().setUp()
        os.environ.pop("LIMITR_TOKEN", None)
        self.write("one.yaml", policy(1))
        self.write("two.yaml", policy(2))
        self.where = ["--store", "sqlite:a.db"]
        self.on("project", "create", "began")

    def on(self, *arguments, **how):
        return self.limitr(*arguments, *self.where, **how)

    def on_as_json(self, *arguments, **how):
        return self.as_json(*arguments, *self.where, **how)

    def kept(self):
        """All bytes of all files that there are."""
        return b"".join(path.read_bytes() for path in self.folder.iterdir() if path.is_file())

    def test_a_policy_is_pushed_listed_compared_and_rolled_back(self):
        before = len(self.on_as_json("versions"))
        out, err = self.on("push", "one.yaml", "--message", "the first")
        self.assertEqual((out, err), (f"version {before + 1} is in force\n", ""))
        self.assertEqual(
            self.on_as_json("push", "two.yaml"), {"version": before + 2, "new": True}
        )
        out, _ = self.on("push", "two.yaml", code=1)
        self.assertIn("nothing to change", out)
        self.on("push", "-", stdin=policy(3))

        versions = self.on_as_json("versions")
        self.assertEqual([v["version"] for v in versions][:2], [before + 3, before + 2])
        self.assertEqual([v["active"] for v in versions][:2], [True, False])
        self.assertEqual(versions[2]["message"], "the first")
        table, _ = self.on("versions")
        self.assertIn(f"* {before + 3}", table)
        self.assertIn("the first", table)

        document = json.loads(self.on("versions", str(before + 1))[0])
        limit = document["policy"]["plans"]["free"]["entitlements"]["chat"]["limit"]
        self.assertEqual(limit["value"], 1)
        out, _ = self.on("versions", str(before + 1), str(before + 2), code=1)
        self.assertEqual(out, "~ policy.plans.free.entitlements.chat.limit.value: 1 -> 2\n")
        self.on("versions", str(before + 1), str(before + 1))

        self.on("rollback", str(before + 1))
        self.assertEqual(self.on_as_json("versions")[0]["message"], f"rollback to version {before + 1}")
        self.on("rollback", str(before + 4), code=1)
        _, err = self.on("rollback", "99", code=2)
        self.assertIn("no version 99", err)

    def test_an_invalid_policy_is_1_with_every_place_and_changes_nothing(self):
        before = self.on_as_json("versions")
        self.write("wrong.yaml", policy("x") + "  hold_ttl: -1\n  request_limit: 0.5\n")
        out, err = self.on("push", "wrong.yaml", code=1)
        self.assertEqual(out, "")
        self.assertIn("wrong.yaml:4:13: policy.hold_ttl", err)
        self.assertIn("policy.request_limit", err)
        self.assertIn("nothing is changed", err)
        self.on("push", "nowhere.yaml", code=2)
        self.assertEqual(self.on_as_json("versions"), before)

    def test_a_token_is_printed_once_and_kept_nowhere(self):
        out, err = self.on("token", "create", "web")
        self.assertRegex(out, f"^{TOKEN.pattern}\n$")
        token = out.strip()
        self.assertNotIn(token[9:30], err)
        self.assertIn("shown this once", err)
        made = self.on_as_json(
            "token", "create", "ci", "--scope", "admin", "--scope", "read", "--kind", "test",
            "--expires", "+90d",
        )  # fmt: skip
        self.assertTrue(made["token"].startswith("lim_test_"))
        self.assertEqual(made["scopes"], ["read", "admin"])
        listed = {each["name"]: each for each in self.on_as_json("token", "list")}
        self.assertEqual(listed["web"]["scopes"], ["engine"])
        self.assertEqual(listed["ci"]["expires"], made["expires"])
        table, _ = self.on("token", "list")
        self.assertIn(made["id"], table)
        for secret in (token, made["token"]):
            self.assertNotIn(secret[9:30], table + json.dumps(listed))
            self.assertNotIn(secret[9:30].encode(), self.kept())

        out, _ = self.on("token", "revoke", made["id"])
        self.assertIn("`ci` is revoked since", out)
        listed = {each["name"]: each for each in self.on_as_json("token", "list")}
        self.assertIsNotNone(listed["ci"]["revoked"])
        self.assertIsNone(listed["web"]["revoked"])
        _, err = self.on("token", "revoke", token, code=2)
        self.assertNotIn(token[9:30], err)

    def test_projects_have_their_own_policies_and_tokens(self):
        self.on("project", "create", "acme")
        self.assertEqual([p["name"] for p in self.on_as_json("project", "list")], ["acme", "began", "default"])
        self.assertIn("acme", self.on("project", "list")[0])
        _, err = self.on("project", "create", "acme", code=2)
        self.assertIn("already", err)
        self.on("project", "create", "No", code=2)
        before = self.on_as_json("versions")
        self.on("push", "one.yaml", "--project", "acme")
        self.on("token", "create", "web", "--project", "acme")
        self.assertEqual(self.on_as_json("versions"), before)
        self.assertEqual(len(self.on_as_json("versions", "--project", "acme")), 1)
        self.assertEqual(len(self.on_as_json("token", "list", "--project", "acme")), 1)
        _, err = self.on("versions", "--project", "nobody", code=2)
        self.assertIn("no project `nobody`", err)


class OnTheStore(ControlTest):
    def test_who_did_it_is_who_has_the_files(self):
        self.on("push", "one.yaml")
        self.assertRegex(self.on_as_json("versions")[0]["who"], r"^\S.*@\S+$")

    def test_only_a_server_and_a_project_begin_a_store(self):
        files = sorted(path.name for path in self.folder.iterdir())
        for words in (
            ["push", "one.yaml"],
            ["versions"],
            ["rollback", "1"],
            ["token", "create", "web"],
            ["token", "list"],
            ["token", "revoke", "4f0c"],
            ["project", "list"],
        ):
            with self.subTest(words):
                out, err = self.limitr(*words, "--store", "sqlite:typo.db", code=2)
                self.assertEqual(out, "")
                self.assertIn("nothing is there: `typo.db-cloud.db`", err)
                self.assertIn("limitr project create", err)
        self.write("empty.db-cloud.db", "")
        _, err = self.limitr("push", "one.yaml", "--store", "sqlite:empty.db", code=2)
        self.assertIn("nothing is there", err)
        self.assertEqual((self.folder / "empty.db-cloud.db").read_bytes(), b"")
        (self.folder / "empty.db-cloud.db").unlink()
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), files)

    def test_commands_on_a_servers_store_have_its_policy(self):
        server = Serving(self, "--policy", "one.yaml")
        server.stop()
        for words in (["policy"], ["check", "ann", "chat", "1"], ["validate"]):
            with self.subTest(words):
                out, err = self.limitr(*words, *self.where, code=1 if words[0] == "check" else 0)
                self.assertNotIn("keeps no policy", out + err)
        document = json.loads(self.on("policy")[0])
        limit = document["policy"]["plans"]["free"]["entitlements"]["chat"]["limit"]
        self.assertEqual(limit["value"], 1)
        self.on("push", "two.yaml")
        self.assertIn('"value":2', self.on("policy")[0].replace(" ", ""))
        self.assertIn("2 -> 1", self.limitr("diff", *self.where, "one.yaml", code=1)[0])
        _, err = self.on("customer", "ann", code=1)
        self.assertIn("there is no customer `ann`", err)
        # Of no server at all.
        self.limitr("create", "bob", "--store", "sqlite:b.db", "--policy", "one.yaml")
        self.assertIn("bob", self.limitr("customer", "bob", "--store", "sqlite:b.db")[0])

    def test_a_store_without_a_policy_says_where_those_of_a_server_are(self):
        server = Serving(self)
        server.stop()
        _, err = self.on("policy", code=2)
        self.assertIn("limitr versions", err)
        self.assertIn("--policy", err)

    def test_what_is_no_place_for_a_server_says_what_is(self):
        before = sorted(self.folder.glob("*.db*"))
        for where, says in (
            (["--store", "file:a.json"], "use sqlite: or postgres:"),
            ([], "--store of a server"),
            (["--store", "sqlite:a.db", "--address", "http://localhost:1"], "--address"),
            (["--address", "http://localhost:1"], "LIMITR_TOKEN"),
            (["--address", "localhost", "--token", "x"], "http://"),
            (["--address", "http://localhost:1", "--token", "x"], "localhost"),
        ):
            with self.subTest(where):
                _, err = self.limitr("versions", *where, code=2)
                self.assertIn(says, err)
        self.assertEqual(sorted(self.folder.glob("*.db*")), before)

    def test_wrong_usage_names_the_help_that_helps(self):
        for words, advice in (
            (["push"], "limitr help push"),
            (["token"], "limitr help token"),
            (["token", "create"], "limitr help token create"),
            (["rollback", "0", "--store", "sqlite:a.db"], "limitr help rollback"),
        ):
            with self.subTest(words):
                _, err = self.limitr(*words, code=2)
                self.assertIn(f"Try `{advice}`", err)
        for family, commands in (("token", "create|list|revoke"), ("project", "create|list")):
            self.assertIn(f"limitr {family} {commands}", self.limitr(family, code=2)[1])
        _, err = self.limitr("serve", "--lease", "5", code=2)
        self.assertIn("`5` is not from 100ms to 1h: say the unit too, as in 5s", err)
        _, err = self.limitr("token", "make", code=2)
        self.assertIn("no command `token make`", err)
        self.assertIn("Usage: limitr token create", self.limitr("help", "token", "create")[0])
        self.assertIn("Usage: limitr token create", self.limitr("token", "create", "--help")[0])
        self.assertIn("limitr project list", self.limitr("help", "project")[0])
        self.limitr("help", "token", "make", code=2)


class OverAServer(ControlTest):
    """A new one, which has no policy yet, and a token like the one that it begins with."""

    def setUp(self):
        super().setUp()
        self.token = self.on_as_json(
            "token", "create", "ops", "--scope", "engine", "--scope", "read", "--scope", "admin"
        )
        self.on_store = self.where
        self.where = ["--address", Serving(self).address]
        os.environ["LIMITR_TOKEN"] = self.token["token"]
        self.addCleanup(os.environ.pop, "LIMITR_TOKEN", None)

    def with_token(self, token, *arguments, code=2):
        return self.limitr(*arguments, *self.where, "--token", token, code=code)

    def test_who_did_it_is_the_token(self):
        self.on("push", "two.yaml")
        self.assertEqual(self.on_as_json("versions")[0]["who"], f"ops (token {self.token['id']})")

    def test_a_token_that_is_none_any_more_is_refused(self):
        made = self.on_as_json("token", "create", "gone", "--scope", "admin")
        self.with_token(made["token"], "versions", code=0)
        self.on("token", "revoke", made["id"])
        _, err = self.with_token(made["token"], "versions")
        self.assertIn("revoked", err)
        _, err = self.with_token("lim_live_" + "x" * 49, "versions")
        self.assertIn("mistyped", err)
        self.assertNotIn("xxxxxxxx", err)

    def test_what_is_changed_on_the_store_is_noticed_by_the_server(self):
        made = json.loads(self.limitr("token", "create", "new", "--scope", "read", "--json", *self.on_store)[0])
        self.with_token(made["token"], "versions", code=0)
        _, err = self.with_token(made["token"], "push", "two.yaml")
        self.assertIn("admin", err)
        self.limitr("token", "revoke", made["id"], *self.on_store)
        self.with_token(made["token"], "versions")

    def test_a_token_of_another_project_reaches_only_that(self):
        self.on("push", "one.yaml", "--message", "so that engines can come")
        self.on("project", "create", "acme")
        made = self.on_as_json("token", "create", "theirs", "--scope", "admin", "--project", "acme")
        token = made["token"]
        self.with_token(token, "push", "two.yaml", code=0)
        out, _ = self.with_token(token, "versions", "--json", code=0)
        self.assertEqual(len(json.loads(out)), 1)
        out, _ = self.with_token(token, "project", "list", "--json", code=0)
        self.assertEqual([p["name"] for p in json.loads(out)], ["acme"])
        for words in (
            ["versions", "--project", "default"],
            ["push", "two.yaml", "--project", "default"],
            ["rollback", "1", "--project", "default"],
            ["token", "list", "--project", "default"],
            ["token", "create", "x", "--project", "default"],
            ["token", "revoke", self.token["id"], "--project", "default"],
            ["project", "create", "mine"],
        ):
            with self.subTest(words):
                out, err = self.with_token(token, *words)
                self.assertEqual(out, "")
                self.assertNotIn("so that engines", err)

    def test_no_token_is_in_the_log(self):
        made = self.on_as_json("token", "create", "canary", "--scope", "admin")
        self.with_token(made["token"], "versions", code=0)
        self.on("token", "revoke", made["id"])
        self.with_token(made["token"], "versions")
        kept = self.kept()
        for secret in (made["token"], self.token["token"]):
            self.assertNotIn(secret[9:30].encode(), kept)


del ControlTest  # It is there to be inherited.


if __name__ == "__main__":
    program_test.PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
