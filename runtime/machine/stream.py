"""Many pictures through one predictor: decoded and run by several threads, given back in order.

Pillow's decoders and both interpreters release Python's lock, so while one worker decodes, another
runs its model. Each worker has an interpreter of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")
Means = TypeVar("Means")

AHEAD = 2  # tasks a worker: one it works on and one that waits, so that it is never idle


def in_order(
    items: Iterable[Item],
    work: Callable[[Sequence[Item], Means], Sequence[Result]],
    means: Sequence[Means],
    size: int,
) -> Iterator[Result]:
    """What `work` makes of `items`, `size` at a time, in the order of the items.

    Each thread works with one of `means`, such as its interpreter. At most `AHEAD` tasks a thread have
    been taken from `items` and not given back. With one of `means` there is no thread at all.
    """
    rest = iter(items)
    tasks = iter(lambda: list(islice(rest, size)), [])
    if len(means) == 1:
        for task in tasks:
            yield from work(task, means[0])
        return
    import queue  # these two take as long as a picture
    from concurrent.futures import ThreadPoolExecutor

    idle: queue.SimpleQueue[Means] = queue.SimpleQueue()
    for one in means:
        idle.put(one)

    def run(task: Sequence[Item]) -> Sequence[Result]:
        own = idle.get()
        try:
            return work(task, own)
        finally:
            idle.put(own)

    waiting: deque[Future[Sequence[Result]]] = deque()
    with ThreadPoolExecutor(len(means), thread_name_prefix="edgewright") as threads:
        try:
            for task in tasks:
                waiting.append(threads.submit(run, task))
                if len(waiting) >= AHEAD * len(means):
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:  # whoever asked may have had enough
            for future in waiting:
                future.cancel()
