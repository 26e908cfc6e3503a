# SPDX-License-Identifier: Apache-2.0
"""The arguments of calls that are made by their name, and their answers."""

# mypy: ignore-errors
import datetime
import json

from limitr import _limitr
from limitr._hooks import dumps
from limitr.errors import UsageError


def _is_number(value):
    return not isinstance(value, (bool, str)) and (
        hasattr(value, "__float__") or hasattr(value, "__index__")
    )


def _is_texts(value):
    return isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)


def _is_data(value):
    return isinstance(value, str) or hasattr(value, "keys")


def _is_moment(value):
    return isinstance(value, (str, datetime.datetime)) or _is_number(value)


_KINDS = {
    "text": (lambda value: isinstance(value, str), "str"),
    "number": (_is_number, "a number"),
    "quantity": (lambda value: isinstance(value, str) or _is_number(value), "a number or str"),
    "flag": (lambda value: isinstance(value, bool), "True or False"),
    "moment": (_is_moment, "a number of ms, an ISO date, or a datetime"),
    "texts": (_is_texts, "a list of str"),
    "data": (_is_data, "a dict"),
    "event": (lambda value: isinstance(value, bool) or _is_data(value), "True, False or a dict"),
    "caps": (lambda value: isinstance(value, list) or _is_data(value), "a dict or a list"),
    "document": (_is_data, "a dict or str"),
    "records": (lambda value: isinstance(value, (list, tuple)) or _is_data(value), "a dict or a list"),
    "usage": (lambda value: hasattr(value, "keys"), "a dict"),
    "calls": (lambda value: isinstance(value, (list, tuple)), "a list of calls"),
}


def _read_table():
    return {
        call["name"]: {given["name"]: given["kind"] for given in call["parameters"]}
        for call in json.loads(_limitr.calls())
    }


_table = None


def table():
    """Every call of the engine, and the kind of each of its parameters."""
    global _table
    if _table is None:
        _table = _read_table()
    return _table


def _ms(moment, argument):
    if moment.tzinfo is None:
        raise UsageError("invalid_argument", "the datetime names no time zone", argument)
    return round(moment.timestamp() * 1000)


def arguments_of(name, given):
    """The arguments as JSON text. What is None was not given. Raises TypeError, UsageError."""
    kinds = table()[name]
    made = {}
    for argument, value in given.items():
        if value is None:
            continue
        fits, wanted = _KINDS[kinds[argument]]
        if not fits(value):
            raise TypeError(f"{argument} must be {wanted}, not {type(value).__name__}")
        if isinstance(value, datetime.datetime):
            value = _ms(value, argument)
        made[argument] = value
    return dumps(made, name) if made else ""


def document_of(policy, document_format):
    """The policy's text, and the format that it is in."""
    if isinstance(policy, str):
        return policy, document_format
    if hasattr(policy, "keys"):
        return dumps(policy, "policy"), "json"
    raise TypeError(f"policy must be str or a dict, not {type(policy).__name__}")


def number(answer):
    """Numbers are floats, whether whole or not."""
    return None if answer is None else float(answer)


_DECIDED = (
    "value",
    "limit",
    "remaining",
    "overage",
    "grant_value_applied",
    "overhead",
    "price_diff",
    "overage_price",
)


def decision(answer):
    """A decision with its numbers as floats."""
    if "error" not in answer:
        for field in _DECIDED:
            answer[field] = number(answer[field])
    return answer


def decisions(answer):
    return [decision(one) for one in answer]


def allowed(answer):
    return answer["allowed"]


def options_of(id, entitlement, event, overhead, force, context, cap, request, **value):
    """The arguments of a call that decides, by name."""
    return {
        "id": id,
        "entitlement": entitlement,
        **value,
        "event": event,
        "overhead": overhead,
        "force": force,
        "context": context,
        "cap": cap,
        "request": request,
    }


def merged(name, given):
    """The same for a call that is made by its name: where it takes no context, that is the event."""
    if given["context"] is not None and "context" not in table()[name]:
        context = given.pop("context")
        if given["event"] is True:
            given["event"] = context
    elif "context" not in table()[name]:
        del given["context"]
    return given
