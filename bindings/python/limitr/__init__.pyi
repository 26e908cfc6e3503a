# SPDX-License-Identifier: Apache-2.0
from limitr._engine import Limitr as Limitr
from limitr._engine import difference as difference
from limitr._engine import validate as validate
from limitr._limitr import ManualClock as ManualClock
from limitr.errors import CloudError as CloudError
from limitr.errors import Error as Error
from limitr.errors import PolicyError as PolicyError
from limitr.errors import StoreError as StoreError
from limitr.errors import UsageError as UsageError

__version__: str
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
