# SPDX-License-Identifier: Apache-2.0
"""The type stubs."""

import inspect
import os
import pathlib
import re
import subprocess
import sys

import limitr
import limitr.aio

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "bindings" / "python"


def run(*command):
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stubs_are_those_of_the_methods():
    run(sys.executable, str(PACKAGE / "tools" / "write_stubs"), "--check")


def test_a_strict_checker_takes_a_use_of_every_method(tmp_path):
    mypy = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    run(*mypy, "--strict", "typed_sample.py")
    text = (HERE / "typed_sample.py").read_text()
    for name, _ in inspect.getmembers(limitr.Limitr, callable):
        assert name.startswith("_") or re.search(rf"\be\.{name}\(|\.{name}\(", text), name


def test_a_strict_checker_finds_mistakes(tmp_path):
    sample = tmp_path / "wrong.py"
    sample.write_text(
        "import limitr\n"
        "from limitr import aio\n"
        "def use(e: limitr.Limitr, a: aio.Limitr) -> None:\n"
        "    e.allow(3, 'chat')\n"
        "    e.decide('ann', 'chat')['nothing']\n"
        "    x: bool = e.check('ann', 'chat', detail=True)\n"
        "    limitr.Limitr('', durability='never')\n"
        "    y: bool = a.allow('ann', 'chat')\n"
        "    z: bool = a.delete_customer('ann')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), str(sample)],
        capture_output=True, text=True,
    )
    lines = {int(line) for line in re.findall(r"wrong\.py:(\d+): error", done.stdout)}
    assert lines == {4, 5, 6, 7, 8, 9}, done.stdout


def test_the_stubs_say_what_runs(tmp_path):
    allowed = tmp_path / "allowed"
    # What the modules do among themselves is no part of the types.
    allowed.write_text(
        "limitr._.*\nlimitr.methods.*\nlimitr.types.TypedDict\nlimitr.Limitr.__.*\nlimitr.aio.Limitr.__.*\n"
        "limitr.Limitr.(allow|check|set|increment|decrement|check_increment|check_decrement|decide)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "limitr", "--allowlist", str(allowed),
         "--ignore-unused-allowlist"],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "MYPYPATH": os.path.dirname(os.path.dirname(limitr.__file__))},
    )
    assert done.returncode == 0, done.stdout + done.stderr
