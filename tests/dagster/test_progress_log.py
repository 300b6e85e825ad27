from hoverfast_platform.assets.progress_log import log_progress
from hoverfast_platform.progress import Progress


class Run:
    """Collects the lines of a run's log."""

    def __init__(self):
        self.lines, self.log = [], self

    def info(self, text):
        self.lines.append(text)


def test_lines_come_now_and_then_with_the_time_left():
    run, now_s = Run(), [0.0]
    report = log_progress(run, "slide-1", every_s=10, clock=lambda: now_s[0])

    for second in range(0, 41):
        now_s[0] = second
        report(Progress("segmenting", 60 + second, 100))

    assert run.lines == [
        "slide-1: segmenting, 60 of 100 tiles",
        "slide-1: segmenting, 70 of 100 tiles, 1.0 tiles/s, 30 s left",
        "slide-1: segmenting, 80 of 100 tiles, 1.0 tiles/s, 20 s left",
        "slide-1: segmenting, 90 of 100 tiles, 1.0 tiles/s, 10 s left",
        "slide-1: segmenting, 100 of 100 tiles, 1.0 tiles/s",
    ]


def test_slow_work_is_told_in_time_per_unit():
    run, now_s = Run(), [0.0]
    report = log_progress(run, "slide-1", every_s=10, clock=lambda: now_s[0])

    for n_done in range(3):
        now_s[0] = n_done * 30
        report(Progress("segmenting", n_done, 4))

    assert run.lines[1:] == [
        "slide-1: segmenting, 1 of 4 tiles, 30 s per tile, 1 min 30 s left",
        "slide-1: segmenting, 2 of 4 tiles, 30 s per tile, 1 min 00 s left",
    ]


def test_a_second_task_has_its_own_speed():
    run, now_s = Run(), [0.0]
    report = log_progress(run, "skin", every_s=10, clock=lambda: now_s[0])

    for start_s, seconds_each in ((0, 100), (1000, 1)):  # a slow model, then a fast one
        for i in range(1, 4):
            now_s[0] = start_s + i * seconds_each
            report(Progress("measuring", i, 3, "images"))

    assert run.lines[-1] == "skin: measuring, 3 of 3 images, 1.0 images/s"
