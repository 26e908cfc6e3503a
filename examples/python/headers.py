# SPDX-License-Identifier: Apache-2.0
"""What a decision says in the headers of an HTTP response."""

import math
import time


def headers(decision, now=None):
    """RateLimit-Limit, -Remaining and -Reset, and Retry-After where it was denied."""
    made = {}
    if decision["limit"] is not None:
        made["RateLimit-Limit"] = str(math.floor(decision["limit"]))
        made["RateLimit-Remaining"] = str(max(0, math.floor(decision["remaining"])))
    if decision["resets"] is not None:
        # Whole seconds, and none too early: at the boundary the old period still counts.
        seconds = decision["resets"] / 1000 - (time.time() if now is None else now)
        made["RateLimit-Reset"] = str(max(1, math.floor(seconds) + 1))
    if not decision["allowed"] and "RateLimit-Reset" in made:
        made["Retry-After"] = made["RateLimit-Reset"]
    return made
