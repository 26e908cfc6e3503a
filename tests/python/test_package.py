# SPDX-License-Identifier: Apache-2.0
"""The wheel, where nothing of ours is but what it brings."""

import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "bindings" / "python"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(PACKAGE / "tools" / "build_wheel", folder, sys.executable, os.environ["LIMITR_LIBRARY"])
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """A Python that has the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--no-index", wheel)
    return folder / "bin" / "python"


def bare(**more):
    environment = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    return {**environment, **more}


def test_it_brings_the_libraries_that_a_bare_system_lacks(wheel, python, tmp_path):
    assert "manylinux" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    for library in ("sqlite3", "hiredis", "libpq", "libssl", "yaml", "fmt", "simdjson"):
        assert any(library in name for name in names if name.startswith("limitr.libs/")), library
    # None of them is the system's own: that one may not be there.
    loaded = run(
        python, "-c", "import limitr; print(open('/proc/self/maps').read())", cwd=tmp_path, env=bare()
    )
    of_system = set(re.findall(r" /(?:usr/)?lib\S*/(lib[\w+-]+)\.so", loaded))
    allowed = {
        "libc", "libm", "libdl", "libpthread", "librt", "libresolv", "libstdc++", "libgcc_s", "libutil",
        "libz", "libcom_err", "libexpat", "libpython3",
    }
    assert of_system <= allowed, of_system - allowed


def test_the_program_of_its_readme_runs_from_an_empty_folder(python, tmp_path):
    text = (PACKAGE / "README.md").read_text()
    program, printed = re.search(r"```python\n(.*?)```\s+```\n(.*?)```", text, re.S).groups()
    (tmp_path / "app.py").write_text(program)
    assert run(python, "app.py", cwd=tmp_path, env=bare()) == printed
    assert run(python, "app.py", cwd=tmp_path, env=bare()) == "[False, False, False, False]\n"


def test_it_reaches_a_cloud_server_over_tls(tls_server, python, tmp_path):
    program = (
        "import limitr\n"
        f"with limitr.Limitr.cloud(log=lambda text: None, **{tls_server.options!r}) as engine:\n"
        "    print(engine.ensure_customer('ann'), engine.allow('ann', 'few', 3))\n"
    )
    assert tls_server.address.startswith("https:")
    assert run(python, "-c", program, cwd=tmp_path, env=bare()) == "True True\n"


def test_types_and_help_come_along(wheel, python, tmp_path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"limitr/py.typed", "limitr/__init__.pyi", "limitr/aio.pyi"} <= set(names)
    text = run(python, "-c", "import limitr; help(limitr.Limitr.allow); help(limitr.Limitr)", cwd=tmp_path, env=bare())
    assert "id, entitlement, value=0, event=True, overhead=None, force=False, *, context" in text
    assert "ensure_customer(self, id" in text


def test_it_is_built_from_the_repository(python, tmp_path):
    """Anything else says so."""
    lonely = tmp_path / "python"
    lonely.mkdir()
    (lonely / "CMakeLists.txt").write_text((PACKAGE / "CMakeLists.txt").read_text())
    done = subprocess.run(
        ["cmake", "-G", "Ninja", "-S", str(lonely), "-B", str(tmp_path / "build")],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "inside its repository" in done.stderr.replace("\n  ", " ")
