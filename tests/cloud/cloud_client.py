# SPDX-License-Identifier: Apache-2.0
"""A server as a process, and a WebSocket client that can also misbehave. Standard library only."""

import base64
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import ssl
import struct
import subprocess
import time

POLICY = """\
policy:
  credits: { tok: {} }
  plans: { pro: { default: true, entitlements: { chat: { limit: { credit: tok, value: %d } } } } }
"""
# For what only takes long when it fails.
PATIENCE = 90


class Server:
    """`limitr serve` in a folder, with a store that outlives it."""

    def __init__(self, program, folder, *arguments, policy=True, store=None, trusts=None):
        self.folder = pathlib.Path(folder)
        self.tls = ssl.create_default_context(cafile=trusts) if trusts else None
        self.policy = self.folder / "policy.yaml"
        if policy and not self.policy.exists():
            self.policy.write_text(POLICY % 10)
        command = [program, "serve", "--listen", "127.0.0.1:0", *arguments]
        if policy:
            command += ["--policy", str(self.policy)]
        command += ["--store", store or "sqlite:" + str(self.folder / "limitr.db")]
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.said = ""
        while "Serving at " not in self.said:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"no server: {self.process.wait()} {self.log_text()}")
            self.said += line
        self.host, port = re.search(r"Serving at https?://(.*):(\d+)", self.said).groups()
        self.port = int(port)
        first = re.search(r"shown this once: (\S+)", self.said)
        token_file = self.folder / "token"
        if first:
            token_file.write_text(first.group(1))
        self.token = token_file.read_text()

    def log_text(self):
        return (self.folder / "log").read_text()

    def wait_for_log(self, text):
        wait_until(lambda: text in self.log_text(), f"`{text}` in the log")

    def request(self, method, path, body=None, headers=None):
        """Status, headers and body."""
        if self.tls:
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=PATIENCE, context=self.tls)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def get_json(self, path):
        status, _, body = self.request("GET", path)
        return status, json.loads(body)

    def ask_ticket(self, token):
        status, _, body = self.request("POST", "/wss/ticket", json.dumps({"token": token}))
        return status, json.loads(body)

    def ticket(self, token=None):
        status, answer = self.ask_ticket(token or self.token)
        assert status == 200, answer
        return answer["ticket"]

    @contextlib.contextmanager
    def ticket_line(self):
        """Any number of tickets, over one connection."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)

        def each():
            while True:
                connection.request("POST", "/wss/ticket", json.dumps({"token": self.token}))
                yield json.loads(connection.getresponse().read())["ticket"]

        try:
            yield each()
        finally:
            connection.close()

    def connect(self, token=None, **how):
        return Connection(self.host, self.port, self.ticket(token), tls=self.tls, **how)

    def engine(self, name="e1", token=None, deny_unconnected=True, **how):
        """A connection that was welcomed."""
        connection = self.connect(token, **how)
        connection.hello(name, deny_unconnected)
        return connection

    def metric(self, name):
        _, _, text = self.request("GET", "/metrics")
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if re.match(re.escape(name) + r"[ {]", line))

    def memory(self):
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self, how=signal.SIGTERM):
        """The exit code; `how` None: it ends by itself."""
        if how and self.process.poll() is None:
            self.process.send_signal(how)
        self.said += self.process.stdout.read()
        self.process.stdout.close()
        code = self.process.wait(PATIENCE)
        self.log.close()
        return code


class Closed(Exception):
    """The other side has closed; code None: without a close frame."""

    def __init__(self, code, reason=""):
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Connection:
    def __init__(self, host, port, ticket, receive_buffer=None, tls=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((host, port))
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /wss?ticket={ticket} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode())
        self.kept = b""
        head = self.until(b"\r\n\r\n").decode()
        self.status = int(head.split()[1])
        self.numbers = itertools.count(1)
        self.pushed = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def take(self, size):
        while len(self.kept) < size:
            got = self.socket.recv(1 << 16)
            if not got:
                raise Closed(None)
            self.kept += got
        taken, self.kept = self.kept[:size], self.kept[size:]
        return taken

    def until(self, mark):
        while mark not in self.kept:
            got = self.socket.recv(1 << 16)
            if not got:
                raise Closed(None)
            self.kept += got
        end = self.kept.index(mark) + len(mark)
        return self.take(end)

    @staticmethod
    def frame(payload, opcode=1, final=True, size=None):
        """A masked frame, which may announce another size than it has."""
        size = len(payload) if size is None else size
        head = bytes([(0x80 if final else 0) | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        return head + b"\0\0\0\0" + payload

    def send_frame(self, payload, **how):
        self.socket.sendall(self.frame(payload, **how))

    def receive(self):
        """The next message; pings and pongs are passed over."""
        while True:
            first, second = self.take(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack(">H", self.take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.take(8))[0]
            payload = self.take(size)
            opcode = first & 0x0F
            if opcode == 8:
                code = struct.unpack(">H", payload[:2])[0] if payload else None
                raise Closed(code, payload[2:].decode())
            if opcode == 1:
                return json.loads(payload)

    def ask(self, kind, **members):
        """Sends a request, and gives its answer; what comes before it is kept in `pushed`."""
        n = next(self.numbers)
        self.send_frame(json.dumps({"type": kind, "n": n, **members}).encode())
        while True:
            answer = self.receive()
            if answer.get("n") == n:
                return answer
            self.pushed.append(answer)

    def push(self):
        """The next message that nobody asked for."""
        return self.pushed.pop(0) if self.pushed else self.receive()

    def hello(self, name="e1", deny_unconnected=True):
        answer = self.ask("hello", protocol=1, engine=name, limitr="test",
                          deny_unconnected=deny_unconnected)
        assert answer["type"] == "welcome", answer
        return answer

    def write(self, customer, version, record):
        """Writes one row, and gives the result."""
        part = {"id": customer, "version": version,
                "write": {"record": record, "alts": [], "requests": [], "first_request": 0}}
        answer = self.ask("exchange", transactions=[{"number": 1, "parts": [part]}])
        return answer["results"][0]

    def closed(self):
        """The code and reason of the close frame that comes."""
        try:
            while True:
                self.receive()
        except Closed as closed:
            return closed.code, closed.reason
        except ConnectionResetError:
            return None, "reset"


class Postgres:
    """A server that listens on a socket in a folder of its own."""

    def __init__(self, programs, folder):
        self.programs = pathlib.Path(programs)
        self.folder = pathlib.Path(folder)
        self.url = f"postgres://postgres@/postgres?host={folder}"
        self.how = {"cwd": folder}
        # It refuses to run as root.
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self.how |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        subprocess.run([self.programs / "initdb", "-D", "data", "-U", "postgres", "-A", "trust",
                        "-E", "UTF8", "--locale=C", "--no-sync"],
                       check=True, stdout=subprocess.DEVNULL, **self.how)
        self.start()

    def start(self):
        with open(self.folder / "postgres.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", "data", "-k", self.folder, "-h", ""],
                stdout=log, stderr=log, **self.how)
        wait_until(lambda: self.ask("SELECT 1") == "1", "postgres is up")

    def ask(self, sql):
        return subprocess.run(["psql", "-AtX", self.url, "-c", sql], check=False,
                              capture_output=True, text=True).stdout.strip()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # fast: connections are cut
        self.process.wait(PATIENCE)


def wait_until(is_so, what):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        time.sleep(0.01)


def is_closed(sock):
    """Whether the other side has closed, as far as is known now."""
    try:
        return sock.recv(1 << 16, socket.MSG_DONTWAIT) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False
