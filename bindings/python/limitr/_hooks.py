# SPDX-License-Identifier: Apache-2.0
"""What the extension calls: JSON, exceptions, and the log of what a callback raised."""

# mypy: ignore-errors
import json

# Here, not where they are used: that may be in the middle of another import, or when Python is
# being taken apart and imports nothing any more.
import logging
import traceback

from limitr.errors import UsageError
from limitr.errors import error_of as error

loads = json.loads


def _plain(value):
    # Numbers of other libraries, and what acts as a dict.
    if hasattr(value, "__float__"):
        return float(value)
    if hasattr(value, "keys"):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain).encode


def dumps(value, argument):
    """JSON text; `argument` is what a message names."""
    try:
        return _encode(value)
    except TypeError as problem:
        raise TypeError(f"{argument}: {problem}") from None
    except (ValueError, RecursionError) as problem:
        # NaN and infinity, circles, and what is too deep.
        raise UsageError("invalid_argument", str(problem), argument) from None


def default_log(message):
    """What the engine says, to logging's logger `limitr`."""
    logging.getLogger("limitr").warning("%s", message)


def failed(log, kind, name, problem, trace):
    """Logs what a handler or a host function raised."""
    text = "".join(traceback.format_exception(type(problem), problem, trace)).rstrip()
    (log or default_log)(f"{kind} `{name}` raised:\n{text}")
