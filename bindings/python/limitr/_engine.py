# SPDX-License-Identifier: Apache-2.0
"""limitr.Limitr."""

from __future__ import annotations

import atexit
import json
import weakref

from limitr import _calls, _hooks, _limitr
from limitr._methods import Methods
from limitr.errors import Error

_open = weakref.WeakSet()


@atexit.register
def _end_all():
    # What was answered is safe, and the engine's threads are gone, before Python is taken apart.
    for engine in list(_open):
        try:
            engine._shut_down()
        except Error as problem:
            _hooks.default_log(f"the engine could not be closed: {problem}")


# Whose policy an engine has, as the extension takes it.
_GIVEN, _STORE, _SERVER = range(3)
_HOST = ("overhead", "rates", "notifications")


def _functions(host):
    functions = []
    for kind, named in (host or {}).items():
        if kind not in _HOST:
            raise TypeError(f"host has {', '.join(_HOST)}, not {kind!r}")
        for name, function in named.items():
            if not callable(function):
                raise TypeError(
                    f"host[{kind!r}][{name!r}] must be a function, not {type(function).__name__}"
                )
            functions.append((kind, name, function))
    return functions


def _optional(options, name, wanted, fits):
    """Takes an option out: None where it is not given."""
    value = options.pop(name)
    if value is not None and not fits(value):
        raise TypeError(f"{name} must be {wanted}, not {type(value).__name__}")
    return value


class Limitr(_limitr.Engine, Methods):
    """Decides what each customer may consume, in this process.

        limitr = Limitr(open('policy.yaml').read())
        limitr.ensure_customer('ann')
        if limitr.allow('ann', 'chat', 1): ...

    policy          the policy's text, or a dict
    format          of a text: 'yaml', 'json' or 'toml'
    store           where the state is kept: 'file:limitr.log', 'sqlite:limitr.db', 'redis://...',
                    'postgres://...'; None: in memory only (customers() and load_customers())
    durability      with a store, when a change is safe: 'sync', before the call is answered;
                    'interval', within write_interval ms; 'manual', at flush() and close()
    shared          any number of engines use the store at the same time (Redis, PostgreSQL)
    max_loaded      about how many customers are kept in memory, with a store; 0: all
    load_all        read every customer when the engine is opened
    max_unwritten   with 'interval': how many changed customers may wait while the store takes none
    store_timeout   how long a call may wait for a store, in ms
    accept_weaker   take a store that keeps less than `durability` asks
    validate        False: take a policy that breaks rules but can be compiled
    bounds          of documents: {'max_bytes', 'max_nodes', 'max_depth', 'max_alias_factor'}
    host            functions that the policy names: {'overhead': {name: fn}, 'rates': {...},
                    'notifications': {...}}
    clock           a ManualClock, for tests
    log             gets messages; None: the logger `limitr` of logging

    Raises PolicyError, StoreError, UsageError. One engine serves all threads of the process; open
    it once, not for each request. It is a context manager that closes itself.
    """

    def __init__(
        self,
        policy,
        format="yaml",
        *,
        store=None,
        durability=None,
        shared=None,
        max_loaded=None,
        load_all=None,
        write_interval=None,
        max_unwritten=None,
        store_timeout=None,
        accept_weaker=None,
        validate=None,
        bounds=None,
        host=None,
        clock=None,
        log=None,
    ):
        options = dict(locals())
        for name in ("self", "policy", "format"):
            del options[name]
        text, options["format"] = _calls.document_of(policy, format)
        self._start(_GIVEN, text, options)

    def _start(self, whose, text, options):
        host = _optional(options, "host", "a dict", lambda value: hasattr(value, "keys"))
        clock = _optional(
            options, "clock", "a ManualClock", lambda value: isinstance(value, _limitr.ManualClock)
        )
        log = _optional(options, "log", "a function", callable)
        options.setdefault("store", None)
        store = _optional(options, "store", "str", lambda value: isinstance(value, str))
        options["store"] = store
        given = {name: value for name, value in options.items() if value is not None}
        self._open(
            whose,
            text,
            _hooks.dumps(given, "options"),
            _functions(host),
            clock,
            log or _hooks.default_log,
            whose != _GIVEN or bool(store),
        )
        _open.add(self)

    @classmethod
    def open_stored(
        cls,
        store,
        *,
        durability=None,
        shared=None,
        max_loaded=None,
        load_all=None,
        write_interval=None,
        max_unwritten=None,
        store_timeout=None,
        accept_weaker=None,
        validate=None,
        bounds=None,
        host=None,
        clock=None,
        log=None,
    ):
        """An engine for the policy that its store keeps."""
        options = dict(locals())
        del options["cls"]
        if store is None:
            raise TypeError("store must be str, not NoneType")
        self = cls.__new__(cls)
        self._start(_STORE, "", options)
        return self

    @classmethod
    def cloud(
        cls,
        token=None,
        *,
        address=None,
        policy=None,
        connect_timeout=None,
        deny_unconnected=None,
        validate=None,
        room=None,
        ca_file=None,
        local_file=None,
        max_loaded=None,
        max_unwritten=None,
        store_timeout=None,
        bounds=None,
        host=None,
        clock=None,
        log=None,
    ):
        """An engine whose policy and customers are those of a Cloud server.

        token             a token of the server with the scope `engine`
        address           'https://...' for TLS; None: 'http://localhost:4242'
        policy            a version of the policy; None: the active one, always
        connect_timeout   how long the first connection may take, in ms
        deny_unconnected  what calls get that neither the server nor room covers while there is no
                          connection: a denial with reason 'unconnected'; False: they are decided on
                          what is known, and added to the server's state when it is back
        room              how much of a hard limit or cap may be set aside for calls that are answered
                          without asking, from 0 to 1
        ca_file           certificates that 'https://' trusts; None: the system's
        local_file        a file of this engine alone: what was answered and not reported outlives
                          there a process that is killed, and the next engine with it reports it
        store_timeout     how long a call may wait for the server, in ms

        The others are those of Limitr. Raises CloudError, `unconnected` or `unauthorized`, where
        there is no connection or the token is not good; PolicyError, UsageError.
        """
        options = dict(locals())
        del options["cls"]
        self = cls.__new__(cls)
        self._start(_SERVER, "", options)
        return self

    @staticmethod
    def version():
        """The engine's version: "0.1.0"."""
        return _limitr.version()

    def close(self):
        """Writes what waits and lets go of the store: how many records were written.

        From then on calls that change something fail. Raises StoreError when not all could be
        written.
        """
        return self._close()

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self._close()

    def _make(self, name, given, answer=None):
        made = json.loads(self._call(name, _calls.arguments_of(name, given)))
        return made if answer is None else answer(made)

    def _load_records(self, records):
        return json.loads(self._load(_records(records)))

    def _difference(self, other, document_format):
        return difference(self.policy(), other, format_of_after=document_format)

    def _valid(self):
        problems = [issue for issue in validate(self.policy()) if issue["severity"] == "error"]
        return not problems, "; ".join(f"{issue['path']}: {issue['message']}" for issue in problems)


def _records(records):
    if isinstance(records, str):
        return records
    if hasattr(records, "keys") or isinstance(records, (list, tuple)):
        # One record is a list of one.
        one = hasattr(records, "keys") and isinstance(records.get("id"), str)
        return _hooks.dumps([records] if one else records, "records")
    raise TypeError(f"records must be a dict or a list, not {type(records).__name__}")


def _document_options(document_format, bounds=None):
    options = {"format": document_format}
    if bounds is not None:
        options["bounds"] = bounds
    return _hooks.dumps(options, "bounds")


def validate(policy, format="yaml", *, bounds=None):
    """The problems of a policy: a list of {severity, path, message, line, column}; empty: fine."""
    text, format = _calls.document_of(policy, format)
    return json.loads(_limitr.validate(text, _document_options(format, bounds)))


def difference(before, after, format="yaml", format_of_after=None, *, bounds=None):
    """Where two policies differ: a list of {path, kind, before, after}."""
    old, old_format = _calls.document_of(before, format)
    new, new_format = _calls.document_of(after, format_of_after or format)
    return json.loads(
        _limitr.difference(
            old,
            _document_options(old_format, bounds),
            new,
            _document_options(new_format, bounds),
        )
    )
