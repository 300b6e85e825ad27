"""Parts of a check that fail in every way; run as the module of a check's child."""

import os
import time

from hoverfast_platform.benchmark import gpu_parts
from hoverfast_platform.benchmark.gpu_record import Figure


def measures(_context):
    yield Figure("", "answer", 42.0)


def raises(_context):
    yield Figure("", "before", 1.0)
    raise ValueError("it cannot be measured")


def hangs(_context):
    yield Figure("", "begun", 1.0)
    time.sleep(600)


def dies(_context):
    os._exit(9)
    yield


if __name__ == "__main__":
    gpu_parts.PARTS = tuple(
        gpu_parts.Part(check.__name__, 60, check) for check in (measures, raises, hangs, dies)
    )
    gpu_parts.main()
