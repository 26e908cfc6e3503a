# SPDX-License-Identifier: Apache-2.0
"""Workers that fork, as those of Celery do: an engine in each process, opened after the fork, and
a store that they share. A task that is delivered twice counts once, by its ID.

    LIMITR_STORE=redis://localhost/0 python worker.py

With Celery, `engine()` stays as it is, and `run` is a task: `self.request.id` is its ID.
"""

import functools
import multiprocessing
import os
import pathlib

from limitr import Limitr

POLICY = pathlib.Path(__file__).with_name("policy.yaml")


@functools.lru_cache(maxsize=None)
def engine():
    """This process's engine; first called inside of a task, so after the fork."""
    limitr = Limitr(POLICY.read_text(), store=os.environ["LIMITR_STORE"], shared=True)
    limitr.ensure_customer("ann")
    return limitr


def run(task):
    if not engine().allow("ann", "chat", 1, request=task):
        return f"{task}: not now"
    return f"{task}: done"


def main():
    # The second delivery of task-0 counts no second time.
    tasks = ["task-0", "task-1", "task-0", "task-2", "task-3"]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        done = pool.map(run, tasks, chunksize=1)
    print(sum(line.endswith("done") for line in done), "done,", sum("not" in line for line in done), "not now")


if __name__ == "__main__":
    main()
