"""Many tiny slides, some of them faulty, segmented by one process; a test kills it now and then.

``python -m tests.attack.soak SLIDES OUT FIRST`` prints a line per slide from number FIRST on, and
its memory.
"""

import resource
import sys
from pathlib import Path

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.use_cases.segment_slides import segment_slides
from tests.scaling.fake_predictor import FakePredictor, fake_engine


def main(slides: Path, out: Path, first: int) -> None:
    paths = sorted(slides.iterdir())[first:]
    catalogue_path = out / "catalogue.sqlite"
    with fake_engine(FakePredictor()) as engine, Catalogue.open(catalogue_path) as catalogue:
        for outcome in segment_slides(paths, out, engine=engine, catalogue=catalogue):
            mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            sys.stdout.write(f"{outcome.item.name} {outcome.kind or 'done'} {mib}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
