import subprocess
import sys

import pytest

from hoverfast_platform.geometry import Box
from hoverfast_platform.slide.openslide_reader import OpenSlideReader
from hoverfast_platform.synthetic import write_synthetic_slide

CLOSED_UNDER_A_READ = """
import pathlib, sys, threading, time
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide.openslide_reader import OpenSlideReader

reader = OpenSlideReader(pathlib.Path(sys.argv[1]))
read = []
def look():
    for _ in range(3):
        read.append(reader.read_level(0, Box.at_origin(width=3000, height=2000)).mean())
thread = threading.Thread(target=look)
thread.start()
while not reader._reads._n_reading:
    time.sleep(0.001)
reader.close()
thread.join()
print(len(read))
"""


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "drawn.tiff"
    write_synthetic_slide(path, width_px=3000, height_px=2000)
    return path


def test_a_slide_closed_while_a_thread_reads_is_closed_after_that_read(slide):
    """OpenSlide itself would end the process with an assertion of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_UNDER_A_READ, slide],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "OpenSlide:ERROR" not in done.stdout + done.stderr
    assert done.stdout == "1\n"  # the read that went on, and no further one
    assert "The slide is closed" in done.stderr  # of the thread, which read on


def test_a_closed_slide_is_not_read(slide):
    reader = OpenSlideReader(slide)
    reader.close()

    with pytest.raises(ValueError, match="closed"):
        reader.read_level(0, Box.at_origin(width=20, height=10))
