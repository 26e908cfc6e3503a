# SPDX-License-Identifier: Apache-2.0
"""The methods that limitr.Limitr and limitr.aio.Limitr have in common.

Each names its call and gives its arguments to _make(), which makes the call: at once, or as a
coroutine. The type stubs are written from here by tools/write_stubs.
"""

# mypy: ignore-errors
from __future__ import annotations

from datetime import datetime
from typing import Dict, List, Optional, Tuple, Union

from limitr import _calls
from limitr.types import (
    Decision,
    Estimate,
    Finding,
    Json,
    LoadReport,
    Margin,
    MeasuredMargin,
    Quantity,
    Record,
)


class Methods:
    """See limitr.Limitr."""

    __slots__ = ()

    # Calls

    def allow_many(self, calls: List[Json]) -> List[Decision]:
        """Decides each call in order and on its own: a list of decisions.

        A call is a dict of what allow() takes: {'id': 'ann', 'entitlement': 'chat', 'value': 1}.
        One that fails has {'error': ...} in its place; the others go on.
        """
        return self._make("allow_many", {"calls": calls}, _calls.decisions)

    # Reservations and estimates

    def reserve(
        self,
        id: str,
        entitlement: str,
        value: Optional[Quantity] = None,
        *,
        context: Optional[Json] = None,
        basis: Optional[float] = None,
        segment: Optional[str] = None,
        ttl: Optional[Quantity] = None,
        quantile: Optional[float] = None,
        overhead: Optional[float] = None,
        request: Optional[str] = None,
    ) -> Optional[str]:
        """Holds room for a call whose size is known only afterwards: a hold's ID.

        None when check() would not allow it now, or the entitlement has no limit. Without a
        `value` as much as the estimate says. See docs/reservations.md.
        """
        return self._make(
            "reserve",
            {
                "id": id,
                "entitlement": entitlement,
                "value": value,
                "context": context,
                "basis": basis,
                "segment": segment,
                "ttl": ttl,
                "quantile": quantile,
                "overhead": overhead,
                "request": request,
            },
        )

    def settle(
        self,
        id: str,
        entitlement: str,
        hold: str,
        value: Quantity,
        event: Union[bool, Json] = True,
        overhead: Optional[float] = None,
        basis: Optional[float] = None,
        segment: Optional[str] = None,
        *,
        request: Optional[str] = None,
        detail: bool = False,
    ) -> Union[bool, Decision]:
        """Drops the hold and records what was really used, whatever it breaks."""
        return self._make(
            "settle",
            {
                "id": id,
                "entitlement": entitlement,
                "hold": hold,
                "value": value,
                "event": event,
                "overhead": overhead,
                "basis": basis,
                "segment": segment,
                "request": request,
            },
            _calls.decision if detail else _calls.allowed,
        )

    def release(
        self, id: str, entitlement: str, hold: str, *, request: Optional[str] = None
    ) -> bool:
        """Drops the hold; False when there was none."""
        return self._make(
            "release", {"id": id, "entitlement": entitlement, "hold": hold, "request": request}
        )

    def held(self, id: str, entitlement: str) -> float:
        """The room held now."""
        return self._make("held", {"id": id, "entitlement": entitlement}, _calls.number)

    def estimate(
        self,
        id: str,
        entitlement: str,
        basis: Optional[float] = None,
        segment: Optional[str] = None,
        quantile: float = 0.9,
        *,
        context: Optional[Json] = None,
    ) -> Optional[Estimate]:
        """What one call of this size is expected to use; None while nothing is known."""
        return self._make(
            "estimate",
            {
                "id": id,
                "entitlement": entitlement,
                "basis": basis,
                "segment": segment,
                "quantile": quantile,
                "context": context,
            },
        )

    def observe(
        self,
        id: str,
        entitlement: str,
        value: Quantity,
        overhead: Optional[float] = None,
        basis: Optional[float] = None,
        segment: Optional[str] = None,
        *,
        context: Optional[Json] = None,
        request: Optional[str] = None,
    ) -> bool:
        """Learns from a call without a hold; False where nothing could be learned."""
        return self._make(
            "observe",
            {
                "id": id,
                "entitlement": entitlement,
                "value": value,
                "overhead": overhead,
                "basis": basis,
                "segment": segment,
                "context": context,
                "request": request,
            },
        )

    # Customers

    def create_customer(
        self,
        id: str,
        plan: str = "",
        type: str = "user",
        label: str = "User",
        refs: Optional[List[str]] = None,
        alts: Optional[List[str]] = None,
        metadata: Optional[Json] = None,
        *,
        request: Optional[str] = None,
    ) -> None:
        """Creates a customer, or updates plan, type, label, refs and metadata of a known one.

        Without a `plan`: what it inherits through its refs, else the default plan.
        """
        return self._make(
            "create_customer", _customer(id, plan, type, label, refs, alts, metadata, request)
        )

    def ensure_customer(
        self,
        id: str,
        plan: str = "",
        type: str = "user",
        label: str = "User",
        refs: Optional[List[str]] = None,
        alts: Optional[List[str]] = None,
        metadata: Optional[Json] = None,
        *,
        request: Optional[str] = None,
    ) -> bool:
        """True when the customer was created; a known one is left alone. Safe on every request."""
        return self._make(
            "ensure_customer", _customer(id, plan, type, label, refs, alts, metadata, request)
        )

    def set_customer(self, record: Record, event: bool = True) -> None:
        """Puts a full record in place, replacing any."""
        return self._make("set_customer", {"record": record, "event": event})

    def ensure_set_customer(self, record: Record) -> bool:
        """ensure_customer() from a full record: True when the customer was created."""
        return self._make("ensure_set_customer", {"record": record})

    def customer(self, id: str) -> Optional[Record]:
        """The customer's record; None if there is none."""
        return self._make("customer", {"id": id})

    def customer_refs(self, id: str) -> Optional[List[str]]:
        """The IDs that the customer refers to."""
        return self._make("customer_refs", {"id": id})

    def customer_metadata(self, id: str) -> Optional[Json]:
        """The customer's metadata."""
        return self._make("customer_metadata", {"id": id})

    def set_customer_refs(
        self, id: str, refs: List[str], *, request: Optional[str] = None
    ) -> bool:
        """Replaces whom the customer refers to; False when there is no such customer."""
        return self._make("set_customer_refs", {"id": id, "refs": refs, "request": request})

    def delete_customer(self, id: str) -> bool:
        """Deletes the customer and all that it has; False when there was none."""
        return self._make("delete_customer", {"id": id})

    def set_alt_customer_id(self, id: str, alt: str, *, request: Optional[str] = None) -> bool:
        """`alt` then names the customer everywhere; False when it is another one's."""
        return self._make("set_alt_customer_id", {"id": id, "alt": alt, "request": request})

    def delete_alt_customer_id(self, alt: str) -> bool:
        """Takes an alternate ID away; False when there was none."""
        return self._make("delete_alt_customer_id", {"alt": alt})

    def set_customer_plan(
        self,
        id: str,
        plan: str,
        overwrite_meters: bool = False,
        *,
        request: Optional[str] = None,
    ) -> bool:
        """Puts the customer on a plan; False when it is unknown or already in effect."""
        return self._make(
            "set_customer_plan",
            {"id": id, "plan": plan, "overwrite_meters": overwrite_meters, "request": request},
        )

    def create_customer_override(
        self,
        id: str,
        entitlement: str,
        value: Optional[Quantity] = None,
        expires: Union[float, str, datetime, None] = None,
        credit: Optional[str] = None,
        mode: Optional[str] = None,
        increment: Optional[Quantity] = None,
        resets: Optional[bool] = None,
        reset_inc: Optional[Quantity] = None,
        reset_sch: Optional[str] = None,
        *,
        request: Optional[str] = None,
    ) -> bool:
        """Gives the customer a limit of its own; what is left out copies the present one.

        `expires`: ms since 1970, an ISO date, or a datetime with a time zone. False when customer,
        entitlement or credit is unknown, or both reset forms are given.
        """
        return self._make(
            "create_customer_override",
            {
                "id": id,
                "entitlement": entitlement,
                "value": value,
                "expires": expires,
                "credit": credit,
                "mode": mode,
                "increment": increment,
                "resets": resets,
                "reset_inc": reset_inc,
                "reset_sch": reset_sch,
                "request": request,
            },
        )

    def remove_customer_override(
        self, id: str, entitlement: str, *, request: Optional[str] = None
    ) -> bool:
        """Takes the customer's own limit away; False when there was none."""
        return self._make(
            "remove_customer_override",
            {"id": id, "entitlement": entitlement, "request": request},
        )

    def apply_customer_topup(self, id: str, topup: str, *, request: Optional[str] = None) -> bool:
        """One more grant of a plan's topup; False if the plan has none of that name."""
        return self._make("apply_customer_topup", {"id": id, "topup": topup, "request": request})

    def ensure_included_topups(self, id: str, *, request: Optional[str] = None) -> None:
        """Grants the plan's included topups that are missing."""
        return self._make("ensure_included_topups", {"id": id, "request": request})

    def ensure_plan_subscription(self, id: str, *, request: Optional[str] = None) -> bool:
        """Increments the plan's subscription once, after the trial; True only then."""
        return self._make("ensure_plan_subscription", {"id": id, "request": request})

    # State

    def customers(self) -> Dict[str, Record]:
        """Every customer's record by ID: a consistent cut, taken while calls go on."""
        return self._make("customers", {})

    def load_customers(self, records: Union[Json, List[Record], str]) -> LoadReport:
        """Loads what customers() or export_state() gave, a record, or a list of records.

        Also as JSON text. A bad record never keeps the good ones out: {'loaded', 'refused',
        'unmapped'}.
        """
        return self._load_records(records)

    def export_state(self) -> Json:
        """Everything there is: customers, estimates, remembered requests."""
        return self._make("export_state", {})

    def import_state(self, state: Union[Json, str]) -> LoadReport:
        """Loads what export_state() gave."""
        return self._load_records(state)

    def fsck(self) -> List[Finding]:
        """Everything in the state that contradicts itself; an empty list: the books balance."""
        return self._make("fsck", {})

    def warm(self, ids: List[str]) -> None:
        """Reads these customers from the store ahead of their use: many at once."""
        return self._make("warm", {"ids": ids})

    def flush(self) -> None:
        """Writes all that waits to be written to the store."""
        return self._make("flush", {})

    # Spend caps and margins

    def add_customer_cap(
        self,
        id: str,
        value: float,
        *,
        cap: Optional[str] = None,
        credit: str = "rune",
        exchangeable: Optional[bool] = None,
        overage_only: bool = False,
        ignore_grants: bool = False,
        observe_only: bool = False,
        overhead_cost: bool = False,
        follow_decrements: bool = False,
        hard_trailing: bool = False,
        shared: bool = False,
        shared_with: Optional[List[str]] = None,
        scope: Optional[List[str]] = None,
        resets: bool = False,
        reset_inc: Optional[Quantity] = None,
        reset_sch: Optional[str] = None,
        expires_on: Union[float, str, datetime, None] = None,
        events: bool = True,
        request: Optional[str] = None,
    ) -> Optional[str]:
        """A ceiling on what the customer spends: the new cap's ID.

        None when the ID is taken, the credit unknown, or both reset forms are given. See
        docs/calls.md, Spend caps.
        """
        given = dict(locals())
        del given["self"]
        return self._make("add_customer_cap", given)

    def customer_cap(self, id: str, cap: str) -> Optional[Json]:
        """The cap's record."""
        return self._make("customer_cap", {"id": id, "cap": cap})

    def reset_customer_cap(self, id: str, cap: str, *, request: Optional[str] = None) -> bool:
        """The cap starts over; False when there is none."""
        return self._make("reset_customer_cap", {"id": id, "cap": cap, "request": request})

    def remove_customer_cap(self, id: str, cap: str, *, request: Optional[str] = None) -> bool:
        """Takes the cap away; False when there was none."""
        return self._make("remove_customer_cap", {"id": id, "cap": cap, "request": request})

    def customer_margin(self, id: str) -> Optional[Margin]:
        """What the customer earned and cost this period, in runes."""
        return self._make("customer_margin", {"id": id})

    def plan_margin(self, plan: str, usage: Json, scaled: bool = True) -> Optional[Margin]:
        """What a plan would earn and cost with imagined usage: {'chat': 100, ...}."""
        return self._make("plan_margin", {"plan": plan, "usage": usage, "scaled": scaled})

    def start_margin_measurement(
        self,
        customer: str,
        id: str,
        overage_only: bool = True,
        ignore_grants: bool = True,
        *,
        request: Optional[str] = None,
    ) -> bool:
        """Begins to measure a stretch of work; False when the ID is in use."""
        return self._make(
            "start_margin_measurement",
            {
                "customer": customer,
                "id": id,
                "overage_only": overage_only,
                "ignore_grants": ignore_grants,
                "request": request,
            },
        )

    def capture_margin_measurement(
        self, customer: str, id: str, *, request: Optional[str] = None
    ) -> Optional[MeasuredMargin]:
        """What was charged and what it cost since the start; ends the measurement."""
        return self._make(
            "capture_margin_measurement", {"customer": customer, "id": id, "request": request}
        )

    # Reads

    def value(
        self, id: str, entitlement: str, percent: bool = False, grants: bool = True
    ) -> Optional[float]:
        """What the meter has, in the limit's credit or percent of the limit."""
        return self._make("value", _balance(id, entitlement, grants, percent=percent), _calls.number)

    def remaining(
        self, id: str, entitlement: str, percent: bool = False, grants: bool = True
    ) -> Optional[float]:
        """What is left; with what grants would cover, unless `grants` is False."""
        return self._make(
            "remaining", _balance(id, entitlement, grants, percent=percent), _calls.number
        )

    def limit(self, id: str, entitlement: str, grants: bool = True) -> Optional[float]:
        """The limit of a customer or a plan."""
        return self._make("limit", _balance(id, entitlement, grants), _calls.number)

    def allowance(self, id: str, entitlement: str, grants: bool = True) -> Optional[float]:
        """What may be used this period."""
        return self._make("allowance", _balance(id, entitlement, grants), _calls.number)

    def cost(self, id: str, entitlement: str) -> Optional[float]:
        """What one unit costs you, in runes; of a customer or a plan."""
        return self._make("cost", {"id": id, "entitlement": entitlement}, _calls.number)

    def resets(self, id: str, entitlement: str) -> Optional[int]:
        """When the next period begins, in ms since 1970; None if never."""
        return self._make("resets", {"id": id, "entitlement": entitlement})

    def rate(self, id: str, entitlement: str) -> float:
        """Units per millisecond, lately."""
        return self._make("rate", {"id": id, "entitlement": entitlement}, _calls.number)

    def acceleration(self, id: str, entitlement: str) -> float:
        """How the rate changes."""
        return self._make("acceleration", {"id": id, "entitlement": entitlement}, _calls.number)

    def projected_exhaustion(
        self, id: str, entitlement: str, smoothed: bool = False, grants: bool = True
    ) -> Optional[float]:
        """Milliseconds until the limit at the present rate."""
        return self._make(
            "projected_exhaustion",
            _balance(id, entitlement, grants, smoothed=smoothed),
            _calls.number,
        )

    # `from` is a word of Python's.
    def credit_exchange(self, source: str, to: str, value: float = 1) -> Optional[float]:
        """What `value` of one credit is worth in another."""
        return self._make(
            "credit_exchange", {"from": source, "to": to, "value": value}, _calls.number
        )

    def credit_remaining(self, id: str, credit: str) -> Optional[float]:
        """What the customer's grants have left of a credit."""
        return self._make("credit_remaining", {"id": id, "credit": credit}, _calls.number)

    def meter(self, id: str, entitlement: str) -> Optional[Json]:
        """The meter's record."""
        return self._make("meter", {"id": id, "entitlement": entitlement})

    def limit_object(self, id: str, entitlement: str) -> Optional[Json]:
        """The limit in effect, of a customer or a plan."""
        return self._make("limit_object", {"id": id, "entitlement": entitlement})

    def entitlement(self, id: str, entitlement: str) -> Optional[Json]:
        """The entitlement as the policy has it, of a customer or a plan."""
        return self._make("entitlement", {"id": id, "entitlement": entitlement})

    def plan(self, id: str) -> Optional[Json]:
        """The plan of that name, or of that customer."""
        return self._make("plan", {"id": id})

    def default_plan(self) -> Optional[Json]:
        """The plan of customers that name none."""
        return self._make("default_plan", {})

    def credit(self, name: str) -> Optional[Json]:
        """The credit as the policy has it."""
        return self._make("credit", {"name": name})

    def credit_for(self, id: str, entitlement: str) -> Optional[Json]:
        """The credit of an entitlement's limit, of a customer or a plan."""
        return self._make("credit_for", {"id": id, "entitlement": entitlement})

    def plan_period(self, id: str) -> Optional[str]:
        """The period of a plan, or of a customer's."""
        return self._make("plan_period", {"id": id})

    def plan_trial_period(self, id: str) -> Optional[int]:
        """The trial period of a plan, or of a customer's, in ms."""
        return self._make("plan_trial_period", {"id": id})

    def plan_subscription_entitlement(self, id: str) -> Optional[str]:
        """The entitlement that is a plan's subscription."""
        return self._make("plan_subscription_entitlement", {"id": id})

    # Policy

    def policy(self) -> Json:
        """The running policy's document."""
        return self._make("policy", {})

    def set_policy(self, policy: Union[str, Json], format: str = "yaml") -> None:
        """Replaces the policy while calls go on. Raises PolicyError; the present one then stays."""
        policy, format = _calls.document_of(policy, format)
        return self._make("set_policy", {"policy": policy, "format": format})

    def set_plan(self, name: str, document: Json) -> None:
        """Adds or replaces one plan."""
        return self._make("set_plan", {"name": name, "document": document})

    def delete_plan(self, name: str) -> bool:
        """Removes one plan; False when there was none."""
        return self._make("delete_plan", {"name": name})

    def set_notifications(self, notifications: Json) -> None:
        """Replaces the policy's notifications."""
        return self._make("set_notifications", {"notifications": notifications})

    def difference(self, other: Union[str, Json], format: str = "yaml") -> List[Json]:
        """Where another policy differs from the running one: a list of {path, kind, ...}."""
        return self._difference(other, format)

    def valid(self) -> Tuple[bool, str]:
        """Whether the running policy is valid, and what is wrong with it."""
        return self._valid()


def _customer(id, plan, type, label, refs, alts, metadata, request):
    return {
        "id": id,
        "plan": plan,
        "type": type,
        "label": label,
        "refs": refs,
        "alts": alts,
        "metadata": metadata,
        "request": request,
    }


def _balance(id, entitlement, grants, **choice):
    return {"id": id, "entitlement": entitlement, "grants": grants, **choice}
