# SPDX-License-Identifier: Apache-2.0
"""An ASGI middleware (Starlette, FastAPI, Quart): 429 where a customer may not go on.

    app.add_middleware(LimitrMiddleware, limitr=limitr, entitlement="chat")

`limitr` is a limitr.aio.Limitr: no request holds another up while one waits for the store.
"""

import json

from headers import headers


def customer_of(scope):
    """Who asks: here a header that a gateway has checked; yours may be a session or a token."""
    return dict(scope["headers"]).get(b"x-customer", b"").decode("latin-1")


class LimitrMiddleware:
    def __init__(self, app, limitr, entitlement, customer_of=customer_of):
        self.app = app
        self.limitr = limitr
        self.entitlement = entitlement
        self.customer_of = customer_of

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        customer = self.customer_of(scope)
        if not customer:
            return await answer(send, 401, [], "who are you?")
        await self.limitr.ensure_customer(customer)
        decision = await self.limitr.decide(customer, self.entitlement, 1)
        told = [(name.lower().encode(), text.encode()) for name, text in headers(decision).items()]
        if not decision["allowed"]:
            return await answer(send, 429, told, decision["reason"])

        async def send_told(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *told]}
            await send(message)

        await self.app(scope, receive, send_told)


async def answer(send, status, told, reason):
    given = [(b"content-type", b"application/json"), *told]
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": json.dumps({"error": reason}).encode()})
