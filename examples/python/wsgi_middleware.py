# SPDX-License-Identifier: Apache-2.0
"""A WSGI middleware (Flask, Django, Pyramid): 429 where a customer may not go on.

    app.wsgi_app = LimitrMiddleware(app.wsgi_app, limitr, "chat")
"""

import json

from headers import headers


def customer_of(environ):
    """Who asks: here a header that a gateway has checked; yours may be a session or a token."""
    return environ.get("HTTP_X_CUSTOMER")


class LimitrMiddleware:
    def __init__(self, app, limitr, entitlement, customer_of=customer_of):
        self.app = app
        self.limitr = limitr
        self.entitlement = entitlement
        self.customer_of = customer_of

    def __call__(self, environ, start_response):
        customer = self.customer_of(environ)
        if not customer:
            return answer(start_response, "401 Unauthorized", [], "who are you?")
        self.limitr.ensure_customer(customer)
        decision = self.limitr.decide(customer, self.entitlement, 1)
        told = list(headers(decision).items())
        if not decision["allowed"]:
            return answer(start_response, "429 Too Many Requests", told, decision["reason"])
        return self.app(
            environ,
            lambda status, given, *error: start_response(status, given + told, *error),
        )


def answer(start_response, status, told, reason):
    start_response(status, [("Content-Type", "application/json"), *told])
    return [json.dumps({"error": reason}).encode()]
