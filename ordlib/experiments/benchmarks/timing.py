"""Time contestants against each other."""

from collections.abc import Callable
from statistics import median
from time import perf_counter


def race(
    contestants: dict[str, Callable[[], object]], repeats: int, warm: bool = True
) -> dict[str, float]:
    """Return the median seconds of each, run in turns, so that none is favoured.

    Each runs once before, uncounted; but not where ``warm`` is False, all having run already.
    """
    for run in contestants.values() if warm else ():
        run()
    seconds = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            start = perf_counter()
            run()
            seconds[name].append(perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}
