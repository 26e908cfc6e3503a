# SPDX-License-Identifier: Apache-2.0
"""FastAPI: one engine for the application, and a dependency that meters a route.

    LIMITR_STORE=sqlite:limitr.db uvicorn fastapi_app:app
"""

import contextlib
import os
import pathlib

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from headers import headers

from limitr.aio import Limitr

POLICY = pathlib.Path(__file__).with_name("policy.yaml")


@contextlib.asynccontextmanager
async def lifespan(app):
    # Once, when the application starts: never for each request.
    store = os.environ.get("LIMITR_STORE")
    async with await Limitr.open(POLICY.read_text(), store=store) as limitr:
        app.state.limitr = limitr
        yield


app = FastAPI(lifespan=lifespan)


def allowed(entitlement, value=1):
    """A dependency: 429 where the customer may not use so much of the entitlement."""

    async def decide(request: Request, response: Response, x_customer: str = Header()):
        limitr = request.app.state.limitr
        await limitr.ensure_customer(x_customer)
        decision = await limitr.decide(x_customer, entitlement, value)
        if not decision["allowed"]:
            raise HTTPException(429, decision["reason"], headers(decision))
        response.headers.update(headers(decision))
        return x_customer

    return decide


@app.post("/chat")
async def chat(customer: str = Depends(allowed("chat"))):
    return {"answer": f"hello {customer}"}


@app.post("/write")
async def write(request: Request, customer: str = Depends(allowed("chat"))):
    """What it takes is known only afterwards: room is held before, and settled after."""
    limitr = request.app.state.limitr
    hold = await limitr.reserve(customer, "tokens", 400)
    if hold is None:
        raise HTTPException(429, "limit")
    try:
        text = "as long as it takes "
    except Exception:
        await limitr.release(customer, "tokens", hold)
        raise
    await limitr.settle(customer, "tokens", hold, len(text.split()))
    return {"answer": text}
