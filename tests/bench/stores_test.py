# SPDX-License-Identifier: Apache-2.0
"""The benches of stores on servers of our own: their answers agree, and nothing is left of them.

    tests/bench/stores_test.py LIMITR_BENCH POSTGRES_BIN
"""

import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

BENCH = ""
POSTGRES_BIN = pathlib.Path()
PATIENCE = 60

SQLITE = ["sqlite_sync_1", "sqlite_sync_1000", "sqlite_interval",
          "sqlite_flat", "restart_demand", "restart_all", "bytes_1m_store"]
REDIS = ["redis_sync_64", "redis_shared_1", "redis_shared_64"]
POSTGRES = ["postgres_sync_64", "cloud_one_hot"]
CLOUD = ["cloud_home", "cloud_first", "cloud_contended_1", "cloud_contended_64",
         "cloud_warm", "cloud_warm_trips", "cloud_ensure", "cloud_ensure_trips", "cloud_ensure_new",
         "cloud_ensure_new_trips", "cloud_policy", "cloud_connection_memory",
         "cloud_customer_memory"]


class BenchTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def bench(self, *arguments, code=0):
        done = subprocess.run([BENCH, *arguments], cwd=self.folder, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def names(self, *arguments):
        """The benches that have run, whose answers agreed then."""
        out, err = self.bench("--quick", "--json", *arguments)
        self.assertEqual(err, "")
        return [row["name"] for row in json.loads(out)["results"]]

    def start(self, *command, is_up, **how):
        """A server that is gone when the test is; waits until it answers."""
        log = open(self.folder / "log", "ab")
        self.addCleanup(log.close)
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        deadline = time.monotonic() + PATIENCE
        while not is_up():
            self.assertTrue(server.poll() is None and time.monotonic() < deadline,
                            (self.folder / "log").read_text(errors="replace"))
            time.sleep(0.01)  # Nothing tells when it is up.


def run(*command, **how):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE,
                          **how)


class Usage(BenchTest):
    def test_a_kind_of_store_brings_its_benches_and_no_others(self):
        out, _ = self.bench("--list")
        self.assertNotIn("sqlite", out)
        listed = json.loads(self.bench("--list", "--json", "--store", "sqlite:x")[0])
        self.assertEqual([bench["name"] for bench in listed], SQLITE)
        self.assertFalse((self.folder / "x").exists())

    def test_what_cannot_be_run_is_named(self):
        for arguments, message in ((["sqlite_sync_1"], "`sqlite_sync_1` needs --store sqlite:..."),
                                   (["--store", "tape:x"], "no benches for a store of the kind `tape`"),
                                   (["--store"], "--store needs a URL"),
                                   (["--store", "sqlite:a", "--store=sqlite:b"], "two stores of `sqlite`")):
            self.assertIn(message, self.bench(*arguments, code=2)[1])


class Sqlite(BenchTest):
    def test_answers_agree_and_nothing_is_left(self):
        self.assertEqual(self.names("--store", "sqlite:files"), SQLITE)
        self.assertFalse((self.folder / "files").exists())

    def test_what_is_there_is_not_touched(self):
        mine = self.folder / "mine"
        mine.write_text("mine")
        _, err = self.bench("--quick", "--store", "sqlite:mine", "sqlite_sync_1", code=1)
        self.assertIn("give a path that is not there", err)
        self.assertEqual(mine.read_text(), "mine")


class Cloud(BenchTest):
    def setUp(self):
        super().setUp()
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()

    def bench(self, *arguments, code=0):
        with unittest.mock.patch.dict(os.environ, {"TMPDIR": str(self.temporary)}):
            return super().bench(*arguments, code=code)

    def assert_nothing_is_left(self):
        self.assertEqual([path.name for path in self.folder.iterdir()], ["temporary"])
        self.assertEqual(list(self.temporary.iterdir()), [])
        commands = [path.read_bytes() for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                    if path.exists()]
        self.assertFalse(any(os.fsencode(self.temporary) in command for command in commands))

    def test_answers_agree_and_nothing_is_left(self):
        self.assertEqual(self.names("--store", "cloud:files"), CLOUD)
        self.assert_nothing_is_left()

    def test_a_server_that_does_not_start_is_told_of(self):
        program = pathlib.Path(BENCH).parent / "limitr"
        self.assertTrue(program.exists())
        alone = self.folder / "alone"
        alone.mkdir()
        shutil.copy(BENCH, alone)
        (alone / "limitr").write_text("#!/bin/sh\necho told why >&2\nexit 2\n")
        (alone / "limitr").chmod(0o755)
        done = run(alone / "limitr-bench", "--quick", "--store", "cloud:files", "cloud_first",
                   cwd=self.folder, env={**os.environ, "TMPDIR": str(self.temporary)})
        self.assertEqual(done.returncode, 1)
        self.assertIn("the server did not start: told why", done.stderr)
        shutil.rmtree(alone)
        self.assert_nothing_is_left()


class Redis(BenchTest):
    def setUp(self):
        super().setUp()
        socket = self.folder / "redis.sock"
        self.ask = lambda *words: run("redis-cli", "-s", socket, *words).stdout.strip()
        self.start("redis-server", "--port", "0", "--unixsocket", socket, "--dir", self.folder,
                   "--save", "", "--appendonly", "yes", "--appendfsync", "always",
                   is_up=lambda: self.ask("PING") == "PONG")
        self.url = f"redis:///0?socket={socket}"

    def test_answers_agree_and_nothing_is_left(self):
        self.assertEqual(self.names("--store", self.url), REDIS)
        self.assertEqual(self.ask("DBSIZE"), "0")
        self.assertEqual(self.ask("CONFIG", "GET", "appendfsync"), "appendfsync\nalways")

    def test_what_is_there_is_not_touched(self):
        self.ask("SET", "mine", "1")
        self.assertEqual(self.names("--store", self.url, "redis_sync_64"), ["redis_sync_64"])
        _, err = self.bench("--quick", "--store", self.url, "redis_shared_1", code=1)
        self.assertIn("there are keys on the server", err)
        self.ask("SET", "limitr_bench:mine", "1")
        _, err = self.bench("--quick", "--store", self.url, "redis_sync_64", code=1)
        self.assertIn("the database has keys that begin with `limitr_bench`", err)
        self.assertEqual(self.ask("DBSIZE"), "2")
        self.assertEqual(self.ask("CONFIG", "GET", "appendfsync"), "appendfsync\nalways")


class Postgres(BenchTest):
    def test_answers_agree_and_nothing_is_left(self):
        # It refuses to run as root.
        how = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            how = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = self.folder / "data"
        made = run(POSTGRES_BIN / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                   "--locale=C", "--no-sync", cwd=self.folder, **how)
        self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
        self.addCleanup(shutil.rmtree, data)
        url = f"postgres://postgres@/postgres?host={self.folder}"

        def ask(sql):
            return run("psql", "-AtX", url, "-c", sql).stdout.strip()

        self.start(POSTGRES_BIN / "postgres", "-D", data, "-k", self.folder, "-h", "",
                   is_up=lambda: ask("SELECT 1") == "1", cwd=self.folder, **how)
        schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'limitr%'"
        self.assertEqual(self.names("--store", url), POSTGRES)
        self.assertEqual(ask(schemas), "0")
        ask("CREATE SCHEMA limitr_bench")
        _, err = self.bench("--quick", "--store", url, code=1)
        self.assertIn("the database has a schema `limitr_bench`", err)
        self.assertEqual(ask(schemas), "1")


if __name__ == "__main__":
    POSTGRES_BIN = pathlib.Path(sys.argv.pop())
    BENCH = os.path.abspath(sys.argv.pop())
    unittest.main()
