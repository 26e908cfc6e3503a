# SPDX-License-Identifier: Apache-2.0
"""What limitr raises. A denial is no error: it is an answer."""


class Error(Exception):
    """A call that failed, and changed nothing unless it says otherwise.

    code     its name: "policy_invalid", "store_unavailable", ...
    message  what is wrong
    where    a path (policy.plans.pro), a place (line:column), both, or ""
    """

    def __init__(self, code, message, where=""):
        super().__init__(code, message, where)
        self.code = code
        self.message = message
        self.where = where

    def __str__(self):
        return f"{self.where}: {self.message}" if self.where else self.message


class PolicyError(Error):
    """The policy document does not validate: policy_invalid, document_too_large."""


class UsageError(Error):
    """The call is wrong as it stands: change it.

    invalid_argument, invalid_value, request_mismatch, no_plan, alias_taken, record_invalid.
    """


class StoreError(Error):
    """The store failed.

    store_unavailable (try again), outcome_unknown (the same request ID tells), store_owned,
    store_fenced, store_weaker, data_corrupt, io_failed.
    """


class CloudError(Error):
    """The Cloud server.

    unconnected (there is no connection: try again), unauthorized (the token is wrong, expired or
    revoked, or its scope too small).
    """


_CLASSES = {
    "policy_invalid": PolicyError,
    "document_too_large": PolicyError,
    "invalid_argument": UsageError,
    "invalid_value": UsageError,
    "request_mismatch": UsageError,
    "no_plan": UsageError,
    "alias_taken": UsageError,
    "record_invalid": UsageError,
    "io_failed": StoreError,
    "store_unavailable": StoreError,
    "outcome_unknown": StoreError,
    "store_owned": StoreError,
    "store_fenced": StoreError,
    "store_weaker": StoreError,
    "data_corrupt": StoreError,
    "unconnected": CloudError,
    "unauthorized": CloudError,
}


def error_of(code, message, where):
    """The exception for a code of the C interface."""
    if code == "out_of_memory":
        return MemoryError(message)
    return _CLASSES.get(code, Error)(code, message, where)
