# SPDX-License-Identifier: Apache-2.0
"""Goal: every rule of check_layers finds its violation, and nothing else."""

import importlib.machinery
import importlib.util
import pathlib
import tempfile
import unittest

tool_path = pathlib.Path(__file__).parent / "check_layers"
loader = importlib.machinery.SourceFileLoader("check_layers", str(tool_path))
check_layers = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_layers", loader))
loader.exec_module(check_layers)


def violations(files):
    """What the check says about a tree of these files."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "src").mkdir()
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return sorted(check_layers.check(root))


class Layers(unittest.TestCase):
    def assert_good(self, name, text, **more):
        self.assertEqual(violations({name: text, **more}), [])

    def assert_bad(self, name, text, line, words):
        found = violations({name: text})
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(f"{name}:{line}: "), found[0])
        self.assertIn(words, found[0])

    def test_arrows_are_exactly_those_of_the_table(self):
        for folder, may in check_layers.ARROWS.items():
            for other in check_layers.ARROWS:
                text = f'// A comment.\n#include "{other}/x.h"\n'
                if other == folder or other in may:
                    self.assert_good(f"src/{folder}/a.cc", text)
                else:
                    self.assert_bad(f"src/{folder}/a.cc", text, 2, f"{folder} may not include {other}")

    def test_arrows_have_no_cycle(self):
        done = set()
        while len(done) < len(check_layers.ARROWS):
            ready = {f for f, may in check_layers.ARROWS.items() if may <= done} - done
            self.assertTrue(ready, "the rest includes each other")
            done |= ready

    def test_what_is_pure_rests_on_what_is_pure(self):
        for folder in check_layers.PURE:
            self.assertLessEqual(check_layers.ARROWS[folder], check_layers.PURE, folder)

    def test_angle_brackets_do_not_get_around_the_arrows(self):
        self.assert_bad("src/base/a.h", "#include <engine/x.h>\n", 1, "may not include engine")

    def test_unknown_folders(self):
        self.assert_bad("src/misc/a.h", "int x;\n", 1, "unknown folder")
        self.assert_bad("src/a.h", "int x;\n", 1, "stand in a folder")
        self.assert_bad("src/core/a.h", '#include "misc/x.h"\n', 1, "no folder of src/")
        self.assert_bad("src/core/a.h", '#include "x.h"\n', 1, "name the folder")

    def test_public_headers_are_named_in_angle_brackets(self):
        self.assert_good("src/base/a.h", "#include <limitr/time.h>\n")
        self.assert_bad("src/base/a.h", '#include "limitr/time.h"\n', 1, "<limitr/...>")

    def test_comments_and_strings_are_not_code(self):
        self.assert_good(
            "src/base/a.h",
            '// #include "engine/x.h"\n/*\n#include "engine/x.h"\nclock::now()\n*/\n'
            'auto a = "clock::now()";\nauto b = R"(rand())";\nint c = 1\'000\'000;\n',
        )

    def test_code_after_strings_and_digits_is_still_read(self):
        self.assert_bad(
            "src/base/a.cc",
            "int a = 1'000; char b = '\"'; auto c = R\"x(\")x\";\nint d = rand();\nchar e = '\"';\n",
            2,
            "random",
        )

    def test_pure_folders_touch_no_machine(self):
        for folder in sorted(check_layers.PURE):
            for header in ("thread", "mutex", "fstream", "iostream", "sys/socket.h", "spdlog/spdlog.h"):
                self.assert_bad(f"src/{folder}/a.cc", f"\n#include <{header}>\n", 2, header)
            for call in (
                "std::chrono::system_clock::now()",
                "Clock::now ()",
                "std::time(nullptr)",
                "time(0)",
                "clock_gettime(CLOCK_REALTIME, &t)",
                "rand()",
                "std::srand(1)",
                'std::getenv("HOME")',
            ):
                self.assert_bad(f"src/{folder}/a.cc", f"\n\nauto x = {call};\n", 3, "is pure, but")

    def test_names_that_only_look_alike(self):
        self.assert_good("src/core/a.cc", "f(meter.time(0), at.now(), brand(), x->rand());\n")

    def test_only_the_symbol_table_and_pools_have_a_lock(self):
        self.assert_good("src/base/symbols.h", "#include <mutex>\n")
        self.assert_good("src/base/pool.cc", "#include <mutex>\n#include <sys/mman.h>\n")
        self.assert_bad("src/base/amount.cc", "#include <sys/mman.h>\n", 1, "sys/mman.h")
        self.assert_bad("src/base/symbols.h", "#include <thread>\n", 1, "thread")
        self.assert_bad("src/base/schedule.h", "#include <mutex>\n", 1, "mutex")

    def test_the_shell_and_tests_may_touch_the_machine(self):
        text = "#include <thread>\nauto x = clock::now();\n"
        for name in ("src/env/a.cc", "src/engine/a.cc", "src/cli/a.cc", "src/core/a_test.cc", "src/base/test_a.h"):
            self.assert_good(name, text)

    def test_public_headers_stand_alone(self):
        self.assert_good(
            "include/limitr/a.h",
            "#include <cstdint>\n#include <limitr/b.h>\n#include <nlohmann/json.hpp>\n",
        )
        for header in ('"base/amount.h"', "<base/amount.h>", "<fmt/core.h>", "<unistd.h>", '"b.h"', '"limitr/b.h"'):
            self.assert_bad("include/limitr/a.h", f"#include {header}\n", 1, "public header")

    def test_bench_and_examples_use_the_public_headers(self):
        self.assert_good(
            "bench/a.cc",
            '#include <benchmark/benchmark.h>\n#include <limitr/limitr.h>\n#include "base/amount.h"\n',
        )
        self.assert_bad("bench/a.cc", '#include "core/x.h"\n', 1, "bench may not")
        self.assert_bad("examples/one/a.cc", '#include "base/amount.h"\n', 1, "examples may not")
        self.assert_bad("examples/one/a.cc", "#include <core/x.h>\n", 1, "examples may not")

    def test_bench_and_examples_have_headers_of_their_own(self):
        text = {"examples/one/own.h": "", "bench/workload.h": "", "bench/a.cc": '#include "bench/workload.h"\n'}
        self.assert_good("examples/one/a.cc", '#include "own.h"\n', **text)


if __name__ == "__main__":
    unittest.main()
