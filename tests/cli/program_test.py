# SPDX-License-Identifier: Apache-2.0
"""What scripts rely on: exit codes, where messages go, and that --json is JSON.

    tests/cli/program_test.py PROGRAM
"""

import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""

GOOD = """\
policy:
  credits: { tok: {} }
  plans: { pro: { default: true, entitlements: { chat: { limit: { credit: tok, value: 10 } } } } }
"""
BAD = """\
policy:
  credits: { tok: {} }
  plans:
    pro:
      entitlements:
        chat: { limit: { credit: gold, value: 10 } }
        talk: { limit: { credit: tok, mode: firm } }
"""
SCENARIO = """\
policy: good.yaml
steps:
  - { at: 2026-03-01, call: create_customer, args: { id: ann }, expect: true }
  - { at: +1s, call: allow, args: { id: ann, entitlement: chat, value: 4 }, expect: { value: 4 } }
  - at: +1h
    call: allow
    args: { id: ann, entitlement: chat, value: 9 }
    expect: { allowed: false, reason: limit }
    events: [{ type: meter-limit, meter: { invalid: 13 } }]
state: { ann: { meters: { chat: { value: 4 } } } }
"""


class ProgramTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.write("good.yaml", GOOD)
        self.write("bad.yaml", BAD)
        self.write("day.yaml", SCENARIO)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def limitr(self, *arguments, code=0, stdin=""):
        """Runs the program and returns what it printed: (stdout, stderr)."""
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def as_json(self, *arguments, code=0, stdin=""):
        out, err = self.limitr(*arguments, "--json", code=code, stdin=stdin)
        self.assertEqual(err, "")
        return json.loads(out)


class Usage(ProgramTest):
    def test_help_teaches_and_goes_to_standard_output(self):
        out, err = self.limitr("help")
        self.assertIn("Exit codes", out)
        self.assertEqual(err, "")
        self.assertEqual(self.limitr("--help"), (out, ""))
        for command in ("validate", "diff", "test", "run", "bench"):
            self.assertIn(command, out)
            help_text, _ = self.limitr("help", command)
            self.assertIn("Examples:", help_text)
            self.assertIn(f"limitr {command}", help_text)
            self.assertEqual(self.limitr(command, "--help")[0], help_text)

    def test_wrong_usage_is_2_and_goes_to_standard_error(self):
        for arguments in (
            [],
            ["valdate", "good.yaml"],
            ["validate"],
            ["validate", "--fast", "good.yaml"],
            ["validate", "--format", "xml", "good.yaml"],
            ["validate", "--max-depth", "deep", "good.yaml"],
            ["diff", "good.yaml"],
            ["run"],
            ["help", "valdate"],
        ):
            with self.subTest(arguments):
                out, err = self.limitr(*arguments, code=2)
                self.assertEqual(out, "")
                self.assertNotEqual(err, "")

    def test_version(self):
        out, _ = self.limitr("version")
        self.assertRegex(out, r"^limitr \d+\.\d+\.\d+\n$")
        self.assertEqual(self.limitr("--version")[0], out)


class Validate(ProgramTest):
    def test_a_good_policy_is_0(self):
        out, err = self.limitr("validate", "good.yaml")
        self.assertEqual((out, err), ("good.yaml: valid\n", ""))

    def test_every_problem_has_its_place(self):
        out, _ = self.limitr("validate", "bad.yaml", code=1)
        self.assertRegex(out, r"bad\.yaml:6:\d+: error: policy\.plans\.pro\.entitlements\.chat")
        self.assertIn('A credit named "gold" does not exist in this policy', out)
        self.assertRegex(out, r"bad\.yaml:7:\d+: error: policy\.plans\.pro\.entitlements\.talk")
        self.assertIn("bad.yaml: invalid, 2 errors, 0 warnings", out)

    def test_warnings_do_not_change_the_exit_code(self):
        rule = "  notifications: { low: { events: [meter-changed], condition: a < b } }\n"
        self.write("rule.yaml", GOOD + rule)
        files = self.as_json("validate", "rule.yaml")
        self.assertTrue(files[0]["valid"])
        self.assertEqual([issue["severity"] for issue in files[0]["issues"]], ["warning"])

    def test_json(self):
        files = self.as_json("validate", "good.yaml", "bad.yaml", code=1)
        self.assertEqual([file["valid"] for file in files], [True, False])
        self.assertEqual(len(files[1]["issues"]), 2)
        for issue in files[1]["issues"]:
            self.assertEqual(
                set(issue), {"severity", "path", "message", "line", "column"}
            )
            self.assertGreater(issue["line"], 0)

    def test_standard_input_and_format(self):
        text = json.dumps({"policy": {"plans": {"pro": {}}}})
        self.limitr("validate", "--format", "json", "-", stdin=text)
        self.limitr("validate", "--format", "toml", "-", stdin=text, code=1)

    def test_bounds(self):
        self.limitr("validate", "--max-depth", "3", "good.yaml", code=1)
        self.limitr("validate", "--max-nodes", "3", "good.yaml", code=1)
        out, _ = self.limitr("validate", "--max-bytes", "10", "good.yaml", code=1)
        self.assertIn("--max-bytes", out)
        deep = "policy: " + "{ a: " * 80 + "{}" + " }" * 80
        self.write("deep.yaml", deep)
        self.limitr("validate", "deep.yaml", code=1)
        self.limitr("validate", "--max-depth", "100", "deep.yaml")

    def test_an_oversize_file_is_refused_without_being_read(self):
        huge = self.folder / "huge.yaml"
        with huge.open("wb") as file:
            file.truncate(1 << 40)  # Sparse: reading it would take minutes.
        out, _ = self.limitr("validate", "huge.yaml", code=1)
        self.assertIn("larger than", out)

    def test_unreadable_is_2_and_the_others_are_still_checked(self):
        out, err = self.limitr("validate", "none.yaml", "bad.yaml", ".", code=2)
        self.assertIn("none.yaml", err)
        self.assertIn("bad.yaml: invalid", out)


class Diff(ProgramTest):
    def test_the_same_is_0_whatever_the_format(self):
        text = json.dumps(
            {
                "policy": {
                    "plans": {
                        "pro": {
                            "entitlements": {"chat": {"limit": {"value": 10, "credit": "tok"}}},
                            "default": True,
                        }
                    },
                    "credits": {"tok": {}},
                }
            }
        )
        self.write("good.json", text)
        self.assertEqual(self.limitr("diff", "good.yaml", "good.json"), ("", ""))
        self.assertEqual(self.as_json("diff", "good.yaml", "good.json"), [])

    def test_different_is_1(self):
        self.write("new.yaml", GOOD.replace("value: 10", "value: 20"))
        path = "policy.plans.pro.entitlements.chat.limit.value"
        out, _ = self.limitr("diff", "good.yaml", "new.yaml", code=1)
        self.assertEqual(out, f"~ {path}: 10 -> 20\n")
        self.assertEqual(
            self.as_json("diff", "good.yaml", "new.yaml", code=1),
            [{"kind": "changed", "path": path, "before": 10, "after": 20}],
        )

    def test_added_and_removed(self):
        self.write("new.yaml", GOOD.replace("tok: {}", "tok: {}, img: {}"))
        out, _ = self.limitr("diff", "good.yaml", "new.yaml", code=1)
        self.assertEqual(out, "+ policy.credits.img: {}\n")
        out, _ = self.limitr("diff", "-", "good.yaml", code=1, stdin=(self.folder / "new.yaml").read_text())
        self.assertEqual(out, "- policy.credits.img: {}\n")

    def test_trouble_is_2(self):
        self.limitr("diff", "good.yaml", "none.yaml", code=2)
        self.write("broken.yaml", "a: [")
        self.limitr("diff", "good.yaml", "broken.yaml", code=2)
        self.limitr("diff", "-", "-", code=2)


class Test(ProgramTest):
    def test_passing_is_0(self):
        out, err = self.limitr("test", "day.yaml")
        self.assertEqual((out, err), ("1 passed, 0 failed\n", ""))

    def test_the_first_difference_of_a_failing_scenario(self):
        self.write("day.yaml", SCENARIO.replace("invalid: 13", "invalid: 12"))
        out, _ = self.limitr("test", "day.yaml", code=1)
        self.assertIn("FAIL day.yaml:5: day", out)
        self.assertIn("step 3 at 2026-03-01T01:00:01Z: allow(id: ann, ", out)
        self.assertIn("expected events[0] meter-limit.meter.invalid: 12", out)
        self.assertIn("got events[0] meter-limit.meter.invalid: 13", out)
        self.assertIn("0 passed, 1 failed", out)

    def test_each_kind_of_expectation_can_fail(self):
        for good, bad in (
            ("value: 4 } }\n", "value: 5 } }\n"),
            ("allowed: false, reason: limit", "allowed: true"),
            ("reason: limit", "reason: cap"),
            ("type: meter-limit", "type: meter-changed"),
            ("[{ type: meter-limit, meter: { invalid: 13 } }]", "[]"),
            ("chat: { value: 4 }", "chat: { value: 5 }"),
            ("chat: { value: 4 }", ""),
            ("state: { ann:", "state: { bob: {}, ann:"),
            ("args: { id: ann }, expect: true", "args: { id: ann }, error: no"),
            ("args: { id: ann }, expect: true", "args: { id: ann }, expect: false"),
            ("policy: good.yaml", "policy: bad.yaml"),
            ("policy: good.yaml", "policy: none.yaml"),
        ):
            with self.subTest(bad):
                self.assertIn(good, SCENARIO)
                self.write("day.yaml", SCENARIO.replace(good, bad))
                self.limitr("test", "day.yaml", code=1)

    def test_folders(self):
        self.write("tests/a.yaml", SCENARIO.replace("good.yaml", "../good.yaml"))
        one = json.dumps({"policy": {"policy": {}}, "steps": []})
        self.write("tests/b.ndjson", one + "\n" + one + "\n")
        self.write("tests/c.json", f"[{one}]")
        self.write("tests/notes.txt", "not a test")
        self.assertEqual(self.limitr("test", "tests")[0], "4 passed, 0 failed\n")

    def test_what_cannot_be_read_is_2_with_its_place(self):
        self.write("day.yaml", SCENARIO.replace("call: create_customer", "call: make_customer"))
        out, err = self.limitr("test", "day.yaml", code=2)
        self.assertIn("limitr: day.yaml:3:", err)
        self.assertIn("make_customer", err)
        self.assertIn("0 passed, 0 failed, 1 unreadable", out)
        self.limitr("test", "none.yaml", code=2)

    def test_json(self):
        self.write("fails.yaml", SCENARIO.replace("invalid: 13", "invalid: 12"))
        report = self.as_json("test", "day.yaml", "fails.yaml", code=1)
        self.assertEqual((report["passed"], report["failed"]), (1, 1))
        self.assertEqual([one["passed"] for one in report["scenarios"]], [True, False])
        self.assertEqual(report["scenarios"][1]["step"], 3)
        self.assertEqual(report["scenarios"][1]["got"], "13")

    def test_verbose_traces_every_step(self):
        out, _ = self.limitr("test", "day.yaml", "--verbose")
        self.assertIn("1 2026-03-01T00:00:00Z create_customer(id: ann) -> true", out)
        self.assertIn("meter-limit {", out)


class Run(ProgramTest):
    def test_a_table_of_decisions(self):
        lines = self.limitr("run", "day.yaml")[0].splitlines()
        self.assertEqual(lines[0].split()[:3], ["time", "call", "customer"])
        self.assertEqual(
            lines[3].split(),
            "2026-03-01T01:00:01Z allow ann chat 9 denied limit 4/10 6".split(),
        )

    def test_expectations_are_not_looked_at(self):
        self.write("day.yaml", SCENARIO.replace("allowed: false", "allowed: true"))
        self.limitr("run", "day.yaml")

    def test_a_call_that_fails_is_1(self):
        self.write("day.yaml", SCENARIO.replace("value: 9", "value: nine"))
        out, _ = self.limitr("run", "day.yaml", code=1)
        self.assertIn("error:", out)

    def test_state_is_saved_and_loaded(self):
        self.limitr("run", "day.yaml", "--save", "state.json")
        saved = json.loads((self.folder / "state.json").read_text())
        self.assertEqual(saved["customers"]["ann"]["meters"]["chat"]["value"], 4)
        self.write(
            "next.yaml",
            "policy: good.yaml\nsteps:\n  - { at: 2026-03-02, call: increment, "
            "args: { id: ann, entitlement: chat } }\n",
        )
        self.limitr("run", "next.yaml", "--customers", "state.json", "--save", "state.json")
        saved = json.loads((self.folder / "state.json").read_text())
        self.assertEqual(saved["customers"]["ann"]["meters"]["chat"]["value"], 5)
        self.assertEqual([f.name for f in self.folder.glob("state.json*")], ["state.json"])

    def test_a_state_that_cannot_be_saved_leaves_nothing_behind(self):
        (self.folder / "taken").mkdir()
        self.limitr("run", "day.yaml", "--save", "taken", code=2)
        self.assertEqual([f.name for f in self.folder.glob("taken*")], ["taken"])
        self.limitr("run", "day.yaml", "--save", "none/state.json", code=2)
        self.limitr("run", "day.yaml", "--customers", "none.json", code=2)

    def test_json(self):
        steps = self.as_json("run", "day.yaml")
        self.assertEqual([step["call"] for step in steps], ["create_customer", "allow", "allow"])
        self.assertEqual(steps[0]["answer"], True)
        self.assertEqual(steps[2]["decision"]["reason"], "limit")
        self.assertEqual(steps[2]["events"][0]["type"], "meter-limit")


class Colour(ProgramTest):
    def on_a_terminal(self, **environment):
        main, terminal = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", **environment}
        with subprocess.Popen(
            [PROGRAM, "validate", "good.yaml"], cwd=self.folder, stdout=terminal, env=environment
        ) as program:
            os.close(terminal)
            self.assertEqual(program.wait(timeout=60), 0)
        text = os.read(main, 4096)
        os.close(main)
        return text

    def test_colour_on_a_terminal_only_and_not_with_no_color(self):
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        os.environ.clear()
        os.environ.update(environment)
        self.assertIn(b"\x1b[", self.on_a_terminal())
        self.assertNotIn(b"\x1b[", self.on_a_terminal(NO_COLOR="1"))
        self.assertNotIn("\x1b[", self.limitr("validate", "good.yaml")[0])


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
