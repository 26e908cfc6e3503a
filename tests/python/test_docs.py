# SPDX-License-Identifier: Apache-2.0
"""The programs of docs/python.md print what it says."""

import pathlib
import re
import subprocess
import sys

import pytest

TEXT = (pathlib.Path(__file__).parents[2] / "docs" / "python.md").read_text()
PROGRAMS = re.findall(r"<!-- file: (\w+\.py) -->\n```python\n(.*?)```\s+```\n(.*?)```", TEXT, re.S)


def test_every_program_is_one_that_is_run():
    assert len(PROGRAMS) == TEXT.count("<!-- file:") == 5


@pytest.mark.parametrize("name, program, printed", PROGRAMS, ids=[name for name, _, _ in PROGRAMS])
def test_a_program_prints_what_the_document_says(name, program, printed, tmp_path):
    (tmp_path / name).write_text(program)
    done = subprocess.run([sys.executable, name], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (printed, "")
