# SPDX-License-Identifier: Apache-2.0
"""The examples, run."""

import asyncio
import os
import pathlib
import subprocess
import sys
import wsgiref.util

import pytest

import limitr
import limitr.aio

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples" / "python"
POLICY = (EXAMPLES / "policy.yaml").read_text()
sys.path.insert(0, str(EXAMPLES))


def test_what_the_headers_say():
    from headers import headers

    decision = limitr.Limitr(POLICY).decide("nobody", "chat")
    assert headers(decision) == {}
    decision.update(allowed=True, limit=3.0, remaining=0.5, resets=10_500)
    told = {"RateLimit-Limit": "3", "RateLimit-Remaining": "0", "RateLimit-Reset": "6"}
    assert headers(decision, now=5) == told
    decision["allowed"] = False
    assert headers(decision, now=5) == {**told, "Retry-After": "6"}
    decision["remaining"] = -4.0
    assert headers(decision, now=60)["RateLimit-Remaining"] == "0"
    assert headers(decision, now=60)["Retry-After"] == "1"


def test_the_wsgi_middleware():
    from wsgi_middleware import LimitrMiddleware

    def app(environ, start_response):
        start_response("200 OK", [("X-App", "yes")])
        return [b"hello"]

    middleware = LimitrMiddleware(app, limitr.Limitr(POLICY), "chat")

    def get(**extra):
        environ, seen = dict(extra), []
        wsgiref.util.setup_testing_defaults(environ)
        body = b"".join(middleware(environ, lambda status, given: seen.append((status, dict(given)))))
        return (*seen[0], body)

    for left in (2, 1, 0):
        status, given, body = get(HTTP_X_CUSTOMER="ann")
        assert (status, body, given["X-App"]) == ("200 OK", b"hello", "yes")
        assert (given["RateLimit-Limit"], given["RateLimit-Remaining"]) == ("3", str(left))
    status, given, body = get(HTTP_X_CUSTOMER="ann")
    assert status == "429 Too Many Requests" and body == b'{"error": "limit"}'
    assert 3500 < int(given["Retry-After"]) <= 3601
    assert get(HTTP_X_CUSTOMER="bob")[0] == "200 OK"
    assert get()[0] == "401 Unauthorized"


def test_the_asgi_middleware(tmp_path):
    import httpx
    from asgi_middleware import LimitrMiddleware

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"yes")]})
        await send({"type": "http.response.body", "body": b"hello"})

    async def run():
        engine = await limitr.aio.Limitr.open(POLICY, store=f"sqlite:{tmp_path}/a.db")
        middleware = LimitrMiddleware(app, engine, "chat")
        transport = httpx.ASGITransport(app=middleware)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asked = [client.get("/", headers={"X-Customer": "ann"}) for _ in range(5)]
            answers = await asyncio.gather(*asked)
            assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 2
            denied = next(answer for answer in answers if answer.status_code == 429)
            assert denied.json() == {"error": "limit"} and int(denied.headers["retry-after"]) > 3500
            allowed = next(answer for answer in answers if answer.status_code == 200)
            assert allowed.headers["x-app"] == "yes" and allowed.headers["ratelimit-limit"] == "3"
            assert (await client.get("/")).status_code == 401
        await engine.close()

    asyncio.run(run())


def test_the_fastapi_application(tmp_path, monkeypatch):
    from fastapi.testclient import TestClient

    monkeypatch.setenv("LIMITR_STORE", f"sqlite:{tmp_path}/a.db")
    import fastapi_app

    ann = {"X-Customer": "ann"}
    with TestClient(fastapi_app.app) as client:
        assert client.post("/chat", headers=ann).json() == {"answer": "hello ann"}
        assert client.post("/write", headers=ann).status_code == 200
        last = client.post("/chat", headers=ann)
        assert last.headers["ratelimit-remaining"] == "0"
    # The application is started anew.
    with TestClient(fastapi_app.app) as client:
        denied = client.post("/chat", headers=ann)
        assert denied.status_code == 429 and denied.json() == {"detail": "limit"}
        assert int(denied.headers["retry-after"]) > 3500
        assert client.post("/chat").status_code == 422
    kept = limitr.Limitr.open_stored(f"sqlite:{tmp_path}/a.db")
    assert kept.value("ann", "tokens") == 5 and kept.held("ann", "tokens") == 0
    kept.close()


def test_the_workers(redis_url):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "worker.py")], capture_output=True, text=True,
        env={**os.environ, "LIMITR_STORE": redis_url}, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    # Four tasks, one of them twice, and three messages an hour.
    assert done.stdout in ("4 done, 1 not now\n", "3 done, 2 not now\n"), done.stdout
