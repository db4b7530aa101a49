"""Run the tasks of a build side by side: in threads of this process, or on a Dask cluster."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from dask.system import CPU_COUNT
from tqdm.auto import tqdm

_LOOKS = 16
"""Objects that are looked for side by side: mostly that is waiting for a disk or a server."""


class Workers:
    """What computes, and whether it shows progress bars.

    Attributes
    ----------
    remote : bool
        Whether tasks run in other processes, perhaps on other hosts.
    """

    def __init__(self, client: Any, progress: bool):
        self._client, self._progress = client, progress
        self.remote = client is not None
        self._executor: Executor

    @contextmanager
    def started(self) -> Iterator[None]:
        """Start the threads, or connect to the cluster, that run the tasks in this context."""
        if self.remote:
            self._executor = self._client.get_executor()
            yield
            return
        with ThreadPoolExecutor(CPU_COUNT) as self._executor:
            yield

    def run(self, work: Callable, tasks: list, what: str) -> list:
        """Run tasks and return their results, in the order in which they end."""
        futures = [self._executor.submit(work, task) for task in tasks]
        try:
            done = self._bar(as_completed(futures), what, len(futures))
            return [future.result() for future in done]
        finally:
            for future in futures:
                future.cancel()

    def look(self, work: Callable, things: list, what: str, at_once: int = _LOOKS) -> list:
        """Run work that mostly waits for a disk or a server, in threads of this process."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(self._bar(pool.map(work, things), what, len(things)))

    def _bar(self, things: Iterable, what: str, total: int) -> Iterable:
        return tqdm(things, what, total=total, disable=not self._progress, leave=False)
