# SPDX-License-Identifier: Apache-2.0
"""Policies, and real servers for stores."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import limitr

POLICY = """
policy:
  credits: { token: { price: { amount: 0.5 } } }
  plans:
    pro:
      default: true
      entitlements:
        chat: { limit: { credit: token, value: 1000000000, resets: true, reset_inc: 1day } }
        few: { limit: { credit: token, value: 3, increment: 1, resets: true, reset_inc: 1hour } }
        soft: { limit: { credit: token, value: 3, mode: soft } }
"""
# 2026-03-01T00:00:00Z
START = 1772323200000


@pytest.fixture
def clock():
    return limitr.ManualClock(START)


@pytest.fixture
def engine(clock):
    made = limitr.Limitr(POLICY, clock=clock)
    made.create_customer("ann")
    return made


class Server:
    """A server of its own, as its user where it will not run as root."""

    def __init__(self, user=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="limitr-python-"))
        self.user = user if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.folder, self.user)
        self.process = None

    def run(self, *command):
        # A sanitizer that is loaded into Python is none of the server's business.
        environment = {name: text for name, text in os.environ.items() if name != "LD_PRELOAD"}
        return subprocess.Popen(
            [str(word) for word in command], user=self.user, stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT, cwd=self.folder, env=environment,
        )

    def wait_for(self, path, is_up):
        deadline = time.monotonic() + 60
        while not (path.exists() and is_up()):
            assert self.process.poll() is None and time.monotonic() < deadline, "it does not start"
            time.sleep(0.01)  # Nothing tells when it is up.

    def stop_still(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.go_on()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def takes_connections(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture(scope="session")
def redis():
    server = Server()
    path = server.folder / "redis.sock"
    server.process = server.run(
        "redis-server", "--port", "0", "--unixsocket", path, "--dir", server.folder,
        "--save", "", "--appendonly", "yes", "--appendfsync", "always",
    )
    server.wait_for(path, lambda: takes_connections(path))
    yield server
    server.end()


@pytest.fixture
def redis_url(redis, request):
    # A database of its own for each test.
    redis.next = getattr(redis, "next", -1) + 1
    return f"redis:///{redis.next % 16}?socket={redis.folder}/redis.sock"


class CloudServer(Server):
    """`limitr serve`, which keeps customers, token and address when it is started again."""

    def __init__(self, tls=False):
        super().__init__()
        (self.folder / "policy.yaml").write_text(POLICY)
        self.listen = "127.0.0.1:0"
        self.tls = []
        self.ca_file = None
        if tls:
            made = self.run(
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                "-days", "2", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1",
            )
            assert made.wait() == 0
            self.tls = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"]
            self.ca_file = str(self.folder / "cert.pem")
        self.start()

    def start(self):
        said = self.folder / "said"
        self.process = self.run(
            "sh", "-c", 'exec "$0" "$@" >said 2>log', os.environ["LIMITR_PROGRAM"], "serve",
            "--policy", "policy.yaml", "--store", "sqlite:limitr.db", "--listen", self.listen,
            *self.tls,
        )
        self.wait_for(said, lambda: re.search(r"Serving at \S+\n", said.read_text()))
        text = said.read_text()
        if first := re.search(r"shown this once: (\S+)", text):
            self.token = first[1]
        self.address = re.search(r"Serving at (\S+)", text)[1]
        self.listen = self.address.partition("//")[2]

    def kill(self):
        self.process.kill()
        self.process.wait()
        (self.folder / "said").unlink()

    @property
    def options(self):
        return {"token": self.token, "address": self.address, "ca_file": self.ca_file}


@pytest.fixture
def server():
    made = CloudServer()
    yield made
    made.end()


@pytest.fixture
def tls_server():
    made = CloudServer(tls=True)
    yield made
    made.end()


@pytest.fixture(scope="session")
def postgres_url():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    programs = found[-1] if found else pathlib.Path(shutil.which("postgres")).parent
    server = Server(user="postgres" if os.geteuid() == 0 else None)
    data = server.folder / "data"
    made = server.run(
        programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
        "--locale=C", "--no-sync",
    )
    assert made.wait() == 0
    server.process = server.run(programs / "postgres", "-D", data, "-k", server.folder, "-h", "")
    url = f"postgres://postgres@/postgres?host={server.folder}"
    pid = data / "postmaster.pid"
    server.wait_for(pid, lambda: "ready" in pid.read_text(errors="replace"))
    yield url
    server.end()
