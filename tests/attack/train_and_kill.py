"""A training, killed before every change of its files; the process that forks runs no torch.

``python -m tests.attack.train_and_kill SET FOLDER EVERY`` prints how often it killed, and fails if
a training that went on ended with other weights than one that was never interrupted.
"""

import functools
import json
import sys
from itertools import count
from pathlib import Path

from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.data import TrainingData
from hoverfast_platform.training.fit import fit
from tests.killed_at import killed_before_step
from tests.unit.training.test_training import TINY

NEVER = 10**9
TIMED = "seconds"


def train(tables: Path, out: Path) -> None:
    data = TrainingData(
        (PatchTable(tables / "train.pytable"),), PatchTable(tables / "test.pytable")
    )
    fit(data, TINY, out / "student")


def made(out: Path) -> dict[str, object]:
    """All that a training leaves, but clocks and curves for TensorBoard."""
    run = out / "student"
    lines = (run / "validations.jsonl").read_text().splitlines()
    validations = [
        {name: value for name, value in json.loads(line).items() if name != TIMED} for line in lines
    ]
    files = {path.name: path.read_bytes() for path in run.iterdir() if path.suffix != ".pt"}
    left = {name: content for name, content in files.items() if "tfevents" not in name}
    return {**left, "validations.jsonl": validations}


def main(tables: Path, folder: Path, every: int) -> None:
    assert not killed_before_step(NEVER, functools.partial(train, tables, folder / "whole"), folder)
    whole = made(folder / "whole")
    n_kills = 0
    for n in count(1, every):
        out = folder / f"killed{n}"
        task = functools.partial(train, tables, out)
        was_killed = killed_before_step(n, task, out)
        n_kills += was_killed
        assert not killed_before_step(NEVER, task, out)
        found = made(out)
        different = [name for name in whole.keys() | found if whole.get(name) != found.get(name)]
        assert not different, f"killed before change {n}: {different} differ"
        if not was_killed:
            break
    sys.stdout.write(f"{n_kills} kills\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
