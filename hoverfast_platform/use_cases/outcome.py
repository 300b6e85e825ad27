"""Many items, one outcome each: done or failed, recorded either way; a bad one fails alone."""

from __future__ import annotations

import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from hoverfast_platform.access_errors import access_refused
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.file_system_errors import file_system_failed, words_of
from hoverfast_platform.interruption import raise_if_interrupted
from hoverfast_platform.memory_errors import out_of_memory
from hoverfast_platform.texts import clean

_LOG = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_Product = TypeVar("_Product")


@dataclass(frozen=True)
class Outcome(Generic[_Item, _Product]):
    """What became of one item: it has a product or an error, never both.

    Attributes:
        item: What was asked for.
        product: What was made of it.
        error: Why nothing was made. An error that was not raised on purpose is a defect of ours.
    """

    item: _Item
    product: _Product | None = None
    error: Exception | None = None

    @property
    def kind(self) -> str:
        """The kind of failure, as the catalogue keeps it; empty if nothing failed."""
        if self.error is None:
            return ""
        return self.error.kind if isinstance(self.error, HoverFastError) else "defect"

    @property
    def failure_text(self) -> str:
        """The failure in words for people; empty if nothing failed."""
        if self.error is None or isinstance(self.error, HoverFastError):
            return str(self.error or "")
        return clean(f"{type(self.error).__name__}: {self.error}")


@dataclass(frozen=True)
class Retries:
    """How often an item is tried when its failure may pass: a device without memory, a dead worker.

    Attributes:
        n_attempts: Number of attempts in all.
        pause_s: Seconds before the second attempt; doubled before each further one.
        on_retry: Is called with the item, number of the failed attempt, pause and error.
    """

    n_attempts: int = 1
    pause_s: float = 5.0
    on_retry: Callable[[object, int, float, HoverFastError], None] = lambda *_: None


def each(
    items: Iterable[_Item],
    make: Callable[[_Item], _Product],
    *,
    record_failure: Callable[[_Item, Exception], None],
    retries: Retries = Retries(),
    n_at_once: int = 1,
) -> Iterator[Outcome[_Item, _Product]]:
    """Make the product of every item, in order.

    Args:
        items: What is asked for.
        make: Makes one product, and records it.
        record_failure: Called before a failed outcome is yielded.
        retries: How failures that may pass are tried again.
        n_at_once: In so many threads, if more than one; then ``make`` must allow that.

    Raises:
        Interrupted: If somebody ended the work; what is done stays done.
    """
    for item, product_of in _begun(items, make, retries, n_at_once):
        raise_if_interrupted()
        try:
            product = product_of()
        except Exception as error:  # a defect with one odd item must not stop the others
            raise_if_interrupted()  # a library gave a signal on as an error of its own
            _record(item, error, record_failure)
            yield Outcome(item, error=error)
        else:
            yield Outcome(item, product)


def _begun(
    items: Iterable[_Item], make: Callable[[_Item], _Product], retries: Retries, n_at_once: int
) -> Iterator[tuple[_Item, Callable[[], _Product]]]:
    """Items with what gives their product; with several at once, the next are begun already."""
    if n_at_once == 1:
        for item in items:
            yield item, functools.partial(_attempt, item, make, retries)
        return
    ahead: deque[tuple[_Item, Future[_Product]]] = deque()
    with ThreadPoolExecutor(n_at_once, thread_name_prefix="item") as threads:
        try:
            for item in items:
                ahead.append((item, threads.submit(_attempt, item, make, retries)))
                if len(ahead) > n_at_once:
                    first, future = ahead.popleft()
                    yield first, future.result
            while ahead:
                first, future = ahead.popleft()
                yield first, future.result
        finally:
            for _, future in ahead:
                future.cancel()


def _record(
    item: _Item, error: Exception, record_failure: Callable[[_Item, Exception], None]
) -> None:
    """Record a failure; if that fails too, for instance on a full disk, the log says it."""
    try:
        record_failure(item, error)
    except Exception as unrecorded:
        raise_if_interrupted()
        _LOG.error(
            "The failure of %s (%s) could not be recorded: %s",
            clean(str(item)),
            clean(str(error)),
            clean(words_of(unrecorded)),
        )


def _attempt(item: _Item, make: Callable[[_Item], _Product], retries: Retries) -> _Product:
    for attempt in range(1, retries.n_attempts):
        try:
            return _made(item, make)
        except HoverFastError as error:
            if not error.is_transient:
                raise
            raise_if_interrupted()
            pause_s = retries.pause_s * 2 ** (attempt - 1)
            retries.on_retry(item, attempt, pause_s, error)
            time.sleep(pause_s)
    return _made(item, make)


def _made(item: _Item, make: Callable[[_Item], _Product]) -> _Product:
    """Make a product; lack of memory, of rights, of a share is one error each, whoever says it."""
    try:
        return make(item)
    except Exception as error:
        if named := out_of_memory(error) or access_refused(error) or file_system_failed(error):
            raise named from error
        raise
