"""Many items: outcomes come in order, a bad one fails alone, and several may be in hand."""

import threading

import pytest

from hoverfast_platform.errors import Interrupted
from hoverfast_platform.use_cases.outcome import each


def _never(_item, _error):
    raise AssertionError("nothing was to fail")


def test_outcomes_come_in_order_however_long_each_takes():
    last_is_done = threading.Event()

    def make(item):
        if item == 0:  # the first ends only after the third
            assert last_is_done.wait(10)
        if item == 2:
            last_is_done.set()
        return item * item

    outcomes = list(each(range(6), make, record_failure=_never, n_at_once=3))

    assert [(one.item, one.product) for one in outcomes] == [(i, i * i) for i in range(6)]


@pytest.mark.parametrize("n_at_once", [1, 3])
def test_a_bad_item_fails_alone(n_at_once):
    recorded = []

    def make(item):
        if item == 2:
            raise ValueError("odd")
        return item

    def record(item, error):
        recorded.append((item, str(error)))

    outcomes = list(each(range(5), make, record_failure=record, n_at_once=n_at_once))

    assert [one.kind for one in outcomes] == ["", "", "defect", "", ""]
    assert recorded == [(2, "odd")]


@pytest.mark.parametrize("n_at_once", [1, 3])
def test_an_interruption_ends_all(n_at_once):
    begun = []

    def make(item):
        begun.append(item)
        if item == 1:
            raise Interrupted("Somebody ended it.", "Go on.")
        return item

    with pytest.raises(Interrupted):
        list(each(range(100), make, record_failure=_never, n_at_once=n_at_once))

    assert len(begun) < 10


def test_no_more_are_begun_than_are_wanted_at_once():
    begun = []
    outcomes = each(range(100), lambda item: begun.append(item), record_failure=_never, n_at_once=2)

    next(outcomes)
    outcomes.close()

    assert len(begun) <= 4
