# SPDX-License-Identifier: Apache-2.0
"""What scripts rely on: exit codes, where messages go, and that --json is JSON.

    tests/cli/program_test.py PROGRAM
"""

import fcntl
import json
import os
import pathlib
import pty
import signal
import socket
import stat
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
        for command in ("validate", "diff", "test", "run", "bench", "allow", "check", "increment", "decrement",
                        "set", "reserve", "settle", "release", "held", "create", "plan", "topup", "override",
                        "delete", "customers", "customer", "export", "import", "fsck", "policy", "store"):
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
            ["validate", "--max-depth", "2001", "good.yaml"],
            ["validate", "--max-bytes", "-1", "good.yaml"],
            ["validate", "--max-nodes", "1.5", "good.yaml"],
            ["validate", "--max-nodes", "18446744073709551616", "good.yaml"],
            ["validate", "--max-alias-factor", "1e3", "good.yaml"],
            ["validate", ""],
            ["diff", "good.yaml", ""],
            ["test", ""],
            ["run", ""],
            ["run", "day.yaml", "--save", ""],
            ["run", "day.yaml", "--customers", ""],
            ["diff", "good.yaml"],
            ["run"],
            ["help", "valdate"],
        ):
            with self.subTest(arguments):
                out, err = self.limitr(*arguments, code=2)
                self.assertEqual(out, "")
                self.assertNotEqual(err, "")

    def test_an_unknown_command_is_called_one_everywhere(self):
        _, err = self.limitr("nonsense", code=2)
        self.assertEqual(err, "limitr: there is no command `nonsense`\nTry `limitr help`.\n")
        self.assertEqual(self.limitr("help", "nonsense", code=2)[1], err)

    def test_an_unknown_format_is_named(self):
        _, err = self.limitr("validate", "--format", "xml", "good.yaml", code=2)
        self.assertIn("there is no format `xml`: yaml, json or toml", err)

    def test_help_of_bench_names_what_there_is(self):
        text, _ = self.limitr("help", "bench")
        for option in ("--list", "--json", "--quick", "--strict", "--store"):
            self.assertIn(option, text)
        if not (pathlib.Path(PROGRAM).parent / "limitr-bench").exists():
            self.skipTest("built without the benches")
        known = {bench["name"] for bench in self.as_json("bench", "--list")}
        examples = [line.split("  ")[1].split() for line in text.splitlines()
                    if line.startswith("  limitr bench")]
        named = {word for words in examples for word in words[2:] if not word.startswith("-")}
        self.assertTrue(named)
        self.assertLessEqual(named, known)

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
        wide = "a: &a [" + "1, " * 50 + "]\npolicy: {" + ", ".join(f"k{i}: *a" for i in range(50)) + "}\n"
        self.write("wide.yaml", wide)
        out, _ = self.limitr("validate", "wide.yaml", code=1)
        self.assertIn("--max-alias-factor", out)
        out, _ = self.limitr("validate", "--max-alias-factor", "100", "wide.yaml", code=1)
        self.assertNotIn("--max-alias-factor", out)

    def test_every_command_has_the_bounds_that_messages_name(self):
        deep = "policy: " + "{ a: " * 80 + "{}" + " }" * 80
        self.write("deep.yaml", deep)
        self.write("deep_day.yaml", "policy: deep.yaml\nsteps: []\n")
        self.write("deep_file.yaml", f"policy: {{ {deep} }}\nsteps: []\n")
        for arguments, refused, code in (
            (["diff", "deep.yaml", "good.yaml"], 2, 1),
            (["test", "deep_day.yaml"], 1, 0),
            (["test", "deep_file.yaml"], 2, 0),
            (["run", "deep_day.yaml"], 2, 0),
        ):
            with self.subTest(arguments):
                self.assertIn("--max-depth", "".join(self.limitr(*arguments, code=refused)))
                self.limitr(*arguments, "--max-depth", "100", code=code)

    def test_the_deepest_documents_are_safe(self):
        depth = 1_990  # The rest of the 2,000 stands around it.
        self.write("deep.json", '{"policy":' + '{"a":' * depth + "1" + "}" * depth + "}")
        self.write("other.json", '{"policy":' + '{"a":' * depth + "2" + "}" * depth + "}")
        self.write("list.json", '{"policy":{"a":' + "[" * depth + "]" * depth + "}}")
        keys = ".".join(["policy"] + ["a"] * depth)
        self.write("deep.toml", keys + " = 1\n")
        half = depth // 2
        deep = "policy: { a: &deep " + "{ a: " * half + "1" + " }" * half
        self.write("deep.yaml", deep + ", b: " + "[" * half + "*deep" + "]" * half + "}\n")
        bounds = ["--max-depth", "2000"]
        for file in ("deep.json", "list.json", "deep.toml", "deep.yaml"):
            self.limitr("validate", file, *bounds)
        self.limitr("diff", "deep.json", "deep.toml", *bounds)
        self.limitr("diff", "deep.json", "other.json", *bounds, code=1)
        self.limitr("diff", "deep.json", "list.json", *bounds, code=1)
        for file in ("deep.json", "list.json", "deep.toml", "deep.yaml"):
            step = f"{{ call: set_policy, args: {{ policy: {file} }} }}"
            self.write("day.yaml", f"policy: {file}\nsteps: [{step}, {{ call: policy }}]\n")
            self.limitr("test", "day.yaml", *bounds)

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
        files = self.as_json("validate", "none.yaml", "good.yaml", code=2)
        self.assertEqual([file["file"] for file in files], ["none.yaml", "good.yaml"])
        self.assertEqual([file["valid"] for file in files], [False, True])
        self.assertIn("cannot open", files[0]["issues"][0]["message"])

    def test_standard_input_has_one_name(self):
        out, _ = self.limitr("validate", "-", stdin=BAD, code=1)
        self.assertNotIn("-:", out)
        self.assertIn("standard input:6:", out)
        self.assertIn("standard input: invalid", out)


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

    def test_trouble_names_the_file(self):
        self.write("broken.yaml", "a: [")
        for arguments in (["broken.yaml", "good.yaml"], ["good.yaml", "broken.yaml"]):
            _, err = self.limitr("diff", *arguments, code=2)
            self.assertRegex(err, r"limitr: broken\.yaml:\d+:\d+: ")

    def test_what_is_no_mapping_is_no_policy(self):
        for text in ("", "just text", "[1, 2]", "# nothing\n"):
            with self.subTest(text):
                self.write("odd.yaml", text)
                _, err = self.limitr("diff", "good.yaml", "odd.yaml", code=2)
                self.assertIn("odd.yaml: ", err)
                self.limitr("diff", "odd.yaml", "odd.yaml", code=2)


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
            ("type: meter-limit,", "type: meter-limit, mter: null,"),
            ("meter: { invalid: 13 }", "meter: { invlid: null }"),
            ("{ value: 4 } } } }\n", "{ value: 4, stated: null } } } }\n"),
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

    def test_a_field_that_no_answer_has_is_a_mistake_of_the_file(self):
        call = "call: allow, args: { id: ann, entitlement: chat, value: 4 }, expect: "
        for expected in (
            "{ alowed: null }",
            "{ allowed: true, cap: { idd: null } }",
        ):
            with self.subTest(expected):
                self.write("day.yaml", SCENARIO.replace(call + "{ value: 4 }", call + expected))
                _, err = self.limitr("test", "day.yaml", code=2)
                self.assertIn("unknown field", err)
        for call, expected in (
            ("estimate, args: { id: ann, entitlement: chat }", "{ vlue: null }"),
            ("customer_margin, args: { id: ann }", "{ entitlements: { chat: { prce: null } } }"),
            ("restart", "{ unmaped: null }"),
            ("allow_many, args: { calls: [] }", "[{ eror: null }]"),
        ):
            with self.subTest(expected):
                self.write("day.yaml", f"policy: good.yaml\nsteps: [{{ call: {call}, expect: {expected} }}]")
                self.assertIn("unknown field", self.limitr("test", "day.yaml", code=2)[1])

    def test_null_is_met_by_what_is_known_but_not_there(self):
        self.write("day.yaml", SCENARIO.replace("type: meter-limit,", "type: meter-limit, overage_price: null,"))
        self.limitr("test", "day.yaml")
        self.write("day.yaml", SCENARIO.replace("value: 4 } } } }\n", "value: 4, holds: null, held: 0 } } } }\n"))
        self.limitr("test", "day.yaml")
        steps = "[{ call: plan, args: { id: pro }, expect: { trial_period: null } }]"
        self.write("day.yaml", f"policy: good.yaml\nsteps: {steps}")
        self.limitr("test", "day.yaml")

    def test_a_named_file_that_cannot_be_read_is_2(self):
        step = "\n  - { call: set_policy, args: { policy: none.yaml } }\nstate:"
        for text in (
            SCENARIO.replace("policy: good.yaml", "policy: none.yaml"),
            SCENARIO.replace("policy: good.yaml", "policy: ."),
            SCENARIO + "customers: none.json\n",
            SCENARIO.replace("\nstate:", step),
        ):
            with self.subTest(text):
                self.write("day.yaml", text)
                out, err = self.limitr("test", "day.yaml", code=2)
                self.assertRegex(err, r"limitr: day\.yaml.*: (none\.|\.: cannot)")
                self.assertEqual(out, "0 passed, 0 failed, 1 unreadable\n")
                self.limitr("run", "day.yaml", code=2)

    def test_problems_name_the_file_and_the_customer(self):
        self.write("day.yaml", SCENARIO.replace("good.yaml", "bad.yaml"))
        self.assertIn("bad.yaml: policy.plans.pro", self.limitr("test", "day.yaml", code=1)[0])
        self.assertIn("bad.yaml: policy.plans.pro", self.limitr("run", "day.yaml", code=2)[1])
        self.write("state.json", '{"bob": {"id": "bob", "meters": {"chat": {"value": "no"}}}}')
        self.write("day.yaml", SCENARIO + "customers: state.json\n")
        out, _ = self.limitr("test", "day.yaml", code=1)
        self.assertIn("state.json: customer bob: meters.chat.value", out)
        self.write("day.yaml", SCENARIO.replace("policy: good.yaml", "policy: { policy: { plans: 1 } }"))
        self.assertRegex(self.limitr("run", "day.yaml", code=2)[1], r"day\.yaml: policy\.plans: ")

    def test_an_empty_error_is_a_mistake_of_the_file(self):
        self.write("day.yaml", SCENARIO.replace("expect: true }", "error: '' }"))
        self.assertIn("steps[0].error", self.limitr("test", "day.yaml", code=2)[1])

    def test_bounds_of_a_scenario_are_whole_numbers(self):
        for bound in ("max_bytes: -1", "max_depth: 1.5", "max_nodes: 1e300"):
            self.write("day.yaml", SCENARIO + f"options: {{ bounds: {{ {bound} }} }}\n")
            self.assertIn("options.bounds.max_", self.limitr("test", "day.yaml", code=2)[1])

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

    def test_saving_follows_links_and_keeps_the_mode(self):
        (self.folder / "kept").mkdir()
        target = self.write("kept/state.json", "old")
        target.chmod(0o640)
        (self.folder / "state.json").symlink_to("kept/state.json")
        self.limitr("run", "day.yaml", "--save", "state.json")
        self.assertTrue((self.folder / "state.json").is_symlink())
        self.assertEqual(json.loads(target.read_text())["format"], 1)
        self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o640)

    def test_only_a_regular_file_is_saved_over(self):
        os.mkfifo(self.folder / "fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            here = os.getcwd()
            os.chdir(self.folder)  # A socket's path has to be short.
            self.addCleanup(os.chdir, here)
            listener.bind("socket")
            (self.folder / "link").symlink_to("fifo")
            (self.folder / "taken").mkdir()
            for name in ("fifo", "socket", "link", "taken"):
                with self.subTest(name):
                    before = os.lstat(self.folder / name)
                    out, err = self.limitr("run", "day.yaml", "--save", name, code=2)
                    self.assertEqual(out, "", "nothing is played")
                    self.assertIn("not a regular file", err)
                    self.assertEqual(os.lstat(self.folder / name).st_ino, before.st_ino)

    def test_a_signal_during_a_save_leaves_nothing_behind(self):
        # Whoever holds this lock is writing: the program waits for it in the middle of its save.
        scratch = self.write("state.json.new", "")
        with scratch.open("r+") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)
            with subprocess.Popen(
                [PROGRAM, "run", "day.yaml", "--save", "state.json"],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
            ) as program:
                try:
                    while not self.blocks(program.pid, signal.SIGTERM):
                        self.assertIsNone(program.poll(), "it was never in its save")
                    program.send_signal(signal.SIGTERM)
                finally:
                    fcntl.flock(writer, fcntl.LOCK_UN)
                self.assertEqual(program.wait(timeout=60), -signal.SIGTERM)
        self.assertEqual([f.name for f in self.folder.glob("state*")], ["state.json"])
        self.assertEqual(json.loads((self.folder / "state.json").read_text())["format"], 1)

    @staticmethod
    def blocks(pid, number):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
        return bool(int(blocked.split()[1], 16) & 1 << (number - 1))

    def test_refused_records_are_not_saved_away(self):
        good = '"ann": {"id": "ann", "plan": "pro"}'
        bad = '"bob": {"id": "bob", "meters": {"chat": {"value": "no"}}}'
        step = "{ call: customer, args: { id: ann } }"
        self.write("day.yaml", f"policy: good.yaml\nsteps: [{step}]\n")
        for text in ("{" + good + "," + bad + "}", "{" + good + ', "eve": ?}'):
            with self.subTest(text):
                self.write("state.json", text)
                out, err = self.limitr("run", "day.yaml", "--customers", "state.json", code=1)
                self.assertIn("ann", out)
                self.assertIn("state.json: ", err)
                self.assertNotIn("customer  was", err)
                _, err = self.limitr(
                    "run", "day.yaml", "--customers", "state.json", "--save", "state.json", code=1
                )
                self.assertIn("state.json was not saved", err)
                self.assertEqual((self.folder / "state.json").read_text(), text)
        self.write("state.json", "nothing")
        _, err = self.limitr("run", "day.yaml", "--customers", "state.json", code=2)
        self.assertIn("limitr: state.json: ", err)

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


class Output(ProgramTest):
    def test_what_cannot_be_written_is_2(self):
        for redirection in (">/dev/full", ">&-"):
            for command in ("validate good.yaml", "run day.yaml", "run day.yaml --json", "help"):
                with self.subTest(command + redirection):
                    done = subprocess.run(
                        f'"{PROGRAM}" {command} {redirection}',
                        shell=True,
                        cwd=self.folder,
                        stderr=subprocess.PIPE,
                        text=True,
                        timeout=60,
                        check=False,
                    )
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn("cannot write the output", done.stderr)

    def test_a_closed_stream_does_not_end_up_in_a_file(self):
        subprocess.run(
            f'"{PROGRAM}" run day.yaml --save state.json >&-',
            shell=True, cwd=self.folder, stderr=subprocess.DEVNULL, timeout=60, check=False,
        )
        self.assertEqual(json.loads((self.folder / "state.json").read_text())["format"], 1)

    def test_control_characters_are_spelled_out(self):
        name = "a\\u001b]0;b\\u0007\\u009b2J\\u007f\\r\\n"
        policy = '{"policy": {"credits": {"%s": 1}}}' % name
        self.write("odd.json", policy)
        self.write("other.json", '{"policy": {}}')
        call = '{"call": "allow", "args": {"id": "%s", "entitlement": "e"}, "expect": true}' % name
        self.write("odd_day.json", '{"policy": "good.yaml", "name": "%s", "steps": [%s]}' % (name, call))
        self.write("odd_call.json", '{"policy": "good.yaml", "steps": [{"call": "%s"}]}' % name)
        for arguments, code in (
            (["validate", "odd.json"], 1),
            (["diff", "odd.json", "other.json"], 1),
            (["test", "odd_day.json"], 1),
            (["test", "odd_day.json", "--verbose"], 1),
            (["test", "odd_call.json"], 2),
            (["run", "odd_day.json"], 0),
            (["run", "odd_day.json", "--json"], 0),
            (["validate", "\x1b[2J"], 2),
        ):
            with self.subTest(arguments):
                text = "".join(self.limitr(*arguments, code=code))
                self.assertIn("\\u001b", text)
                for character in text:
                    is_control = ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0
                    self.assertFalse(is_control and character != "\n", text)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
