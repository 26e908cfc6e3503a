# SPDX-License-Identifier: Apache-2.0
"""The types of what goes in and comes out, for annotations."""

from typing import Any, Callable, Dict, List, Optional, TypedDict, Union


Json = Dict[str, Any]
Record = Dict[str, Any]
"""A customer's record; docs/state.md has its fields."""

Quantity = Union[float, str]
"""A number, or text with a unit: '2 MB'."""

Handler = Callable[[str, Json], object]
Log = Callable[[str], object]


class DenyingCap(TypedDict):
    id: Optional[str]
    customer: str


class Decision(TypedDict):
    """The whole answer to a call; docs/calls.md says what each field is."""

    allowed: bool
    repeated: bool
    reason: Optional[str]
    cap: Optional[DenyingCap]
    value: Optional[float]
    limit: Optional[float]
    remaining: Optional[float]
    resets: Optional[int]
    overage: Optional[float]
    grant_value_applied: Optional[float]
    overhead: Optional[float]
    price_diff: Optional[float]
    overage_price: Optional[float]


class Estimate(TypedDict):
    value: float
    overhead: float
    samples: int
    source: str
    scope: str


class EntitlementMargin(TypedDict):
    cost: float
    revenue: float
    margin: Optional[float]


class Margin(TypedDict):
    cost: float
    revenue: float
    margin: float
    entitlements: Dict[str, EntitlementMargin]


class MeasuredMargin(TypedDict):
    charged: float
    costs: float
    margin: float
    raw_margin: float


class Refused(TypedDict):
    id: str
    error: str


class Unmapped(TypedDict):
    customer: str
    entitlement: str


class LoadReport(TypedDict):
    loaded: int
    refused: List[Refused]
    unmapped: List[Unmapped]


class Finding(TypedDict):
    customer: str
    field: str
    message: str
    expected: Optional[float]
    found: Optional[float]


class Issue(TypedDict):
    severity: str
    path: str
    message: str
    line: int
    column: int


class Host(TypedDict, total=False):
    """Host functions by the names that the policy uses; docs/events.md."""

    overhead: Dict[str, Callable[[float, Optional[Json]], float]]
    rates: Dict[str, Callable[[], float]]
    notifications: Dict[str, Callable[[str, Json], object]]
