# SPDX-License-Identifier: Apache-2.0
"""Lists the methods of limitr.Limitr, one a line: `python -m limitr.methods`."""

import inspect

from limitr import Limitr, aio


def methods(of=Limitr):
    """The names of a class's public methods."""
    return [name for name, _ in inspect.getmembers(of, callable) if not name.startswith("_")]


if __name__ == "__main__":
    for method in methods():
        print(method if hasattr(aio.Limitr, method) else f"{method} (not in limitr.aio)")
