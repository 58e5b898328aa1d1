"""Work done at once where nothing of it waits for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
# while one table's plan is made, another one's tasks run
AT_ONCE = 2


def in_waves(plan: Sequence[Item], named: Callable[[Item], tuple[str, Sequence[str]]], build: Callable[[Item], None]) -> None:
    """Build every item, AT_ONCE of them together, each after all items of the tables it reads. named: an item's table and those it reads.

    After an error nothing new begins; what runs is waited for, then the first error is raised.
    """
    waiting, running = list(plan), dict[Future[None], Item]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while waiting or running:
            open_tables = {named(item)[0] for item in (*waiting, *running.values())}
            ready = [item for item in waiting if not open_tables & set(named(item)[1])]
            for item in ready[: AT_ONCE - len(running)]:
                waiting.remove(item)
                running[pool.submit(build, item)] = item
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                future.result()
