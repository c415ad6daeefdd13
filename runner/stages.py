"""What takes a while, told to whoever shows it: `with stage("reading images"):`. Nobody does unless asked to."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Show = Callable[[str], AbstractContextManager[object]]

_shows: list[Show] = []


def stage(text: str) -> AbstractContextManager[object]:
    """Around work that may take more than a second."""
    return _shows[-1](text) if _shows else nullcontext()


@contextmanager
def shown_by(show: Show) -> Iterator[None]:
    """Have `show(text)` show the stages while the block runs."""
    _shows.append(show)
    try:
        yield
    finally:
        _shows.remove(show)
