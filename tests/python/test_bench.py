# SPDX-License-Identifier: Apache-2.0
"""The benches at tiny sizes: their answers, not their times."""

import json
import pathlib
import subprocess
import sys

RUN = pathlib.Path(__file__).parents[2] / "bindings" / "python" / "bench" / "run.py"


def run(*args):
    return subprocess.run([sys.executable, str(RUN), *args], capture_output=True, text=True)


def test_every_bench_gives_its_figure():
    done = run("--quick", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]
    assert [row["name"] for row in rows] == ["python_allow", "python_threads", "import_time"]
    for row in rows:
        assert row["value"] > 0 and row["runs"] == 1
        assert row["goal"].keys() == {"op", "number", "of"} and isinstance(row["met"], bool)
    assert rows[0]["comparator"]["name"].startswith("limits")


def test_a_table_for_people_and_names():
    done = run("--quick", "import_time")
    assert done.stdout.startswith("import_time") and "ms" in done.stdout
    assert run("nothing").returncode == 2
