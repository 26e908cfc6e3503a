# SPDX-License-Identifier: Apache-2.0
"""limitr.Limitr with coroutines, for asyncio.

    from limitr.aio import Limitr

    limitr = await Limitr.open(policy, store='sqlite:limitr.db')
    if await limitr.allow('ann', 'chat', 1): ...

No call blocks the event loop on a store, and one task can have thousands of calls on their way:
those that wait at the same time share one write. Without a store a call is done at once.
"""

from __future__ import annotations

import asyncio
import functools
import json
import weakref

from limitr import _calls, _engine, _limitr
from limitr._methods import Methods

__all__ = ["Limitr"]

# What would hold up the engine's own threads, or wait for them: it runs on another.
_IN_THREAD = frozenset(("customers", "export_state", "fsck", "flush", "warm"))


def _hand_out(answers):
    for future, result, error in answers.take():
        # Whoever cancelled it does not wait for it.
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


class Limitr(Methods):
    """See limitr.Limitr, whose arguments it takes; open() waits for a store without blocking.

    Calls are decided in the order in which they are made. Handlers run on a thread of the engine's,
    not in the event loop: call loop.call_soon_threadsafe() from them.
    """

    def __init__(self, policy, format="yaml", **options):
        self._begin(_engine.Limitr(policy, format, **options), bool(options.get("store")))

    def _begin(self, engine, waits):
        self._engine = engine
        self._waits = waits
        self._answers = weakref.WeakKeyDictionary()

    @classmethod
    async def _opened(cls, waits, open_engine):
        self = cls.__new__(cls)
        self._begin(await _in_thread(open_engine), waits)
        return self

    @classmethod
    async def open(cls, policy, format="yaml", **options):
        """An engine, opened without blocking the event loop."""
        make = functools.partial(_engine.Limitr, policy, format, **options)
        return await cls._opened(bool(options.get("store")), make)

    @classmethod
    async def open_stored(cls, store, **options):
        """An engine for the policy that its store keeps."""
        make = functools.partial(_engine.Limitr.open_stored, store, **options)
        return await cls._opened(True, make)

    @classmethod
    async def cloud(cls, token=None, **options):
        """An engine of a Cloud server, opened without blocking the event loop."""
        make = functools.partial(_engine.Limitr.cloud, token, **options)
        return await cls._opened(True, make)

    @staticmethod
    def version():
        """The engine's version: "0.1.0"."""
        return _limitr.version()

    async def close(self):
        """Writes what waits and lets go of the store: how many records were written."""
        return await _in_thread(self._engine.close)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *problem):
        await self.close()

    def add_handler(self, name, handler):
        """Registers handler(key, value) for every event; see limitr.Limitr.add_handler()."""
        self._engine.add_handler(name, handler)

    def remove_handler(self, name):
        """Removes a handler; False when there was none."""
        return self._engine.remove_handler(name)

    def clear_handlers(self):
        """Removes every handler."""
        self._engine.clear_handlers()

    async def allow(
        self, id, entitlement, value=0, event=True, overhead=None, force=False, *,
        context=None, cap=None, request=None, detail=False,
    ):
        """Whether the customer may use so much now; if so, it is metered. See limitr.Limitr."""
        return await self._allow(
            id, entitlement, value, event, overhead, force, context, cap, request, detail
        )

    async def decide(
        self, id, entitlement, value=0, event=True, overhead=None, force=False, *,
        context=None, cap=None, request=None,
    ):
        """allow() that gives the whole decision as a dict: allowed, reason, remaining, ..."""
        return await self._allow(
            id, entitlement, value, event, overhead, force, context, cap, request, True
        )

    async def check(
        self, id, entitlement, value=0, event=True, overhead=None, force=False, *,
        context=None, cap=None, request=None, detail=False,
    ):
        """What allow() would answer now; meters nothing."""
        return await self._decided(
            "check", _calls.options_of(id, entitlement, event, overhead, force, context, cap,
                                       request, value=value), detail
        )

    async def set(
        self, id, entitlement, value, event=True, overhead=None, force=False, *,
        context=None, cap=None, request=None, detail=False,
    ):
        """allow() by as much as takes the meter to `value`."""
        return await self._decided(
            "set", _calls.options_of(id, entitlement, event, overhead, force, context, cap,
                                     request, value=value), detail
        )

    async def increment(
        self, id, entitlement, event=True, overhead=None, force=False, *,
        context=None, cap=None, request=None, detail=False,
    ):
        """allow() by the limit's increment; denied without a limit."""
        return await self._decided(
            "increment",
            _calls.options_of(id, entitlement, event, overhead, force, context, cap, request),
            detail,
        )

    async def decrement(
        self, id, entitlement, event=True, overhead=None, force=False, *,
        context=None, cap=None, request=None, detail=False,
    ):
        """Gives the limit's increment back; denied without a limit."""
        return await self._decided(
            "decrement",
            _calls.options_of(id, entitlement, event, overhead, force, context, cap, request),
            detail,
        )

    async def check_increment(
        self, id, entitlement, event=True, overhead=None, force=False, *,
        context=None, cap=None, request=None, detail=False,
    ):
        """What increment() would answer now; meters nothing."""
        return await self._decided(
            "check_increment",
            _calls.options_of(id, entitlement, event, overhead, force, context, cap, request),
            detail,
        )

    async def check_decrement(
        self, id, entitlement, event=True, overhead=None, force=False, *,
        context=None, cap=None, request=None, detail=False,
    ):
        """What decrement() would answer now; meters nothing."""
        return await self._decided(
            "check_decrement",
            _calls.options_of(id, entitlement, event, overhead, force, context, cap, request),
            detail,
        )

    async def _allow(
        self, id, entitlement, value, event, overhead, force, context, cap, request, detail
    ):
        if not self._waits:
            return self._engine.allow(
                id, entitlement, value, event, overhead, force,
                context=context, cap=cap, request=request, detail=detail,
            )
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._engine._allow_async(
            self._answers_of(loop), future, detail,
            id, entitlement, value, event, overhead, force, context, cap, request,
        )
        return await future

    async def _decided(self, name, given, detail):
        if not self._waits:
            value = (given.pop("value"),) if "value" in given else ()
            return getattr(self._engine, name)(
                given.pop("id"), given.pop("entitlement"), *value, detail=detail, **given
            )
        answer = _calls.decision if detail else _calls.allowed
        return await self._make(name, _calls.merged(name, given), answer)

    async def _make(self, name, given, answer=None):
        if not self._waits:
            return self._engine._make(name, given, answer)
        if name in _IN_THREAD:
            return await self._after_others(self._engine._make, name, given, answer)
        made = json.loads(await self._asked(name, _calls.arguments_of(name, given)))
        return made if answer is None else answer(made)

    async def _asked(self, name, arguments):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._engine._call_async(self._answers_of(loop), future, name, arguments)
        return await future

    async def _after_others(self, function, *args):
        # The answer to a call tells that those before it have been made.
        if self._waits:
            await self._asked("default_plan", "")
        return await _in_thread(function, *args)

    async def _load_records(self, records):
        return await self._after_others(self._engine._load_records, records)

    async def _difference(self, other, document_format):
        return self._engine._difference(other, document_format)

    async def _valid(self):
        return self._engine._valid()

    def _answers_of(self, loop):
        answers = self._answers.get(loop)
        if answers is None:
            answers = self._answers[loop] = _limitr.Answers()
            loop.add_reader(answers.fileno(), _hand_out, answers)
        return answers


def _in_thread(function, *args):
    return asyncio.get_running_loop().run_in_executor(None, function, *args)
