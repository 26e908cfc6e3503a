# SPDX-License-Identifier: Apache-2.0
"""Engines of a Cloud server, which is a real one."""

import asyncio
import http.server
import threading

import pytest

import limitr
from limitr import aio

from test_processes import outcome, program

NOWHERE = "http://127.0.0.1:1"


def test_engines_share_customers_and_limits(server):
    one = limitr.Limitr.cloud(**server.options)
    other = limitr.Limitr.cloud(server.token, address=server.address)
    assert one.ensure_customer("ann", "pro") is True
    assert other.ensure_customer("ann", "pro") is False
    assert sum(engine.allow("ann", "few", 1) for engine in (one, other, one, other)) == 3
    assert one.value("ann", "few") == other.value("ann", "few") == 3
    with pytest.raises(limitr.UsageError, match="server"):
        one.delete_plan("pro")
    one.close()
    other.close()


def test_what_was_answered_is_there_for_the_next_engine(server):
    with limitr.Limitr.cloud(**server.options) as engine:
        engine.ensure_customer("ann")
        for _ in range(50):
            assert engine.allow("ann", "chat", 2)
    server.kill()
    server.start()
    with limitr.Limitr.cloud(**server.options) as engine:
        assert engine.ensure_customer("ann") is False
        assert engine.value("ann", "chat") == 100


@pytest.mark.parametrize(
    "options, code, says",
    [
        ({"token": "mistyped"}, "unauthorized", "does not accept the token"),
        ({"token": None}, "unauthorized", "does not accept the token"),
        ({"address": NOWHERE, "connect_timeout": 50}, "unconnected", "127.0.0.1:1"),
    ],
)
def test_why_there_is_no_engine_is_raised(server, options, code, says):
    with pytest.raises(limitr.CloudError, match=says) as raised:
        limitr.Limitr.cloud(**{**server.options, **options})
    assert raised.value.code == code


@pytest.mark.parametrize(
    "options, where",
    [
        ({"room": 1.5}, "options.room"),
        ({"token": 5}, "options.token"),
        ({"connect_timeout": -1}, "options.connect_timeout"),
        ({"address": "4242"}, ""),
    ],
)
def test_options_that_cannot_be_say_where(options, where):
    with pytest.raises(limitr.UsageError) as raised:
        limitr.Limitr.cloud(**{"token": "x", **options})
    assert raised.value.where == where


def test_a_local_file_is_one_engines_until_that_has_closed(server, tmp_path):
    options = {**server.options, "local_file": str(tmp_path / "use")}
    engine = limitr.Limitr.cloud(**options)
    with pytest.raises(limitr.StoreError, match="use") as raised:
        limitr.Limitr.cloud(**options)
    assert raised.value.code == "store_owned"
    engine.close()
    limitr.Limitr.cloud(**options).close()


def test_options_of_another_type_or_name_are_type_errors():
    for options in ({"log": 5}, {"clock": 5}, {"host": 5}, {"store": "sqlite:a.db"}):
        with pytest.raises(TypeError, match=next(iter(options))):
            limitr.Limitr.cloud("x", **options)


def test_a_program_that_ends_says_good_bye(server):
    out, err = outcome(program(
        """
        engine = limitr.Limitr.cloud(sys.argv[1], address=sys.argv[2])
        engine.ensure_customer('ann')
        for _ in range(20): engine.allow('ann', 'chat', 1)
        """,
        server.token, server.address,
    ))
    assert err == ""
    with limitr.Limitr.cloud(**server.options) as engine:
        assert engine.value("ann", "chat") == 20


def test_tls_wants_a_certificate_that_is_trusted(tls_server):
    with limitr.Limitr.cloud(**tls_server.options) as engine:
        assert engine.ensure_customer("ann") is True
    with pytest.raises(limitr.CloudError, match="certificate"):
        limitr.Limitr.cloud(tls_server.token, address=tls_server.address, connect_timeout=2000)


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that answers from this process: it needs the GIL to."""

    def do_POST(self):
        self.send_response(401)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def refusing():
    server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_opening_lets_other_threads_run(refusing):
    with pytest.raises(limitr.CloudError) as raised:
        limitr.Limitr.cloud("x", address=refusing)
    assert raised.value.code == "unauthorized"


def test_coroutines(server):
    async def run():
        engine = await aio.Limitr.cloud(**server.options)
        assert await engine.ensure_customer("ann") is True
        answers = await asyncio.gather(*(engine.allow("ann", "few", 1) for _ in range(10)))
        assert sum(answers) == 3
        assert await engine.value("ann", "few") == 3
        created = await asyncio.gather(*(engine.ensure_customer(f"c{i}") for i in range(100)))
        assert all(created)
        with pytest.raises(limitr.CloudError):
            await aio.Limitr.cloud("mistyped", address=server.address)
        await engine.close()

    asyncio.run(run())


def test_opening_does_not_hold_up_the_event_loop():
    async def refuse(reader, writer):
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run():
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(limitr.CloudError) as raised:
            await aio.Limitr.cloud("x", address=f"http://127.0.0.1:{port}")
        assert raised.value.code == "unauthorized"
        server.close()

    asyncio.run(run())
