# SPDX-License-Identifier: Apache-2.0
"""limitr decides, inside your application, what each customer may consume.

    from limitr import Limitr

    limitr = Limitr(policy, store='sqlite:limitr.db')
    limitr.ensure_customer('ann')
    if limitr.allow('ann', 'chat', 1):
        ...

limitr.aio.Limitr has the same methods as coroutines. docs/python.md is the guide.
"""

from limitr._engine import Limitr, difference, validate
from limitr._limitr import ManualClock
from limitr._limitr import version as _version
from limitr.errors import CloudError, Error, PolicyError, StoreError, UsageError

__version__ = _version()
__all__ = [
    "CloudError",
    "Error",
    "Limitr",
    "ManualClock",
    "PolicyError",
    "StoreError",
    "UsageError",
    "difference",
    "validate",
]
