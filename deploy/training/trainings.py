"""The trainings of the models that ship, for one lent GPU without internet.

``pack`` puts training sets into small files (WebP images, PNG labels), ``unpack`` makes sets of
them again, ``run`` does the trainings of a plan, stage after stage, those of a stage side by side,
and copies what came of them into a folder every twenty seconds, so that a machine that is taken
away leaves something. README.md beside this file says what to type.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hoverfast_platform.storage.patch_table import LabelProvenance, Patch, PatchTable
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter

_PATCHES_PER_FILE = 130
"""A set of more becomes several, which are unpacked at the same time."""
_WEBP_QUALITY = 92
_COPY_EVERY_S = 20.0


def pack(sets: Path, out: Path) -> None:
    """Every set of a folder, as one or several files."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(sets.glob("*.pytable")):
        table = PatchTable(path)
        name, side = path.stem.rsplit("_", 1)
        n_parts = -(-len(table) // _PATCHES_PER_FILE) if side == "train" else 1
        for part in range(n_parts):
            number = str(part) if n_parts > 1 else ""
            _pack_part(table, range(part, len(table), n_parts), out / f"{name}{number}_{side}.zip")


def _pack_part(table: PatchTable, which: range, path: Path) -> None:
    rows = []
    with zipfile.ZipFile(path, "w") as file:
        for i, at in enumerate(which):
            patch = table.read(at)
            quality = [cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY]
            bgr = cv2.cvtColor(patch.image, cv2.COLOR_RGB2BGR)
            file.writestr(f"{i}.webp", cv2.imencode(".webp", bgr, quality)[1].tobytes())
            labels = patch.instance_map.astype(np.uint16)
            file.writestr(f"{i}.png", cv2.imencode(".png", labels)[1].tobytes())
            rows.append([patch.source, patch.group, patch.x0_px, patch.y0_px, patch.weight])
        file.writestr(
            "set.json",
            json.dumps(
                {
                    "mpp": table.mpp,
                    "patch_px": int(table.sizes_px.max()),
                    "provenance": table.provenance.model_dump(mode="json"),
                    "rows": rows,
                }
            ),
        )


def unpack(packed: Path, sets: Path) -> None:
    """Sets of all files of a folder, on all cores."""
    sets.mkdir(parents=True, exist_ok=True)
    paths = sorted(packed.glob("*.zip"))
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(_unpack_one, paths, [sets / f"{p.stem}.pytable" for p in paths]):
            pass


def _unpack_one(path: Path, table: Path) -> None:
    with zipfile.ZipFile(path) as file:
        said = json.loads(file.read("set.json"))
        provenance = LabelProvenance.model_validate(said["provenance"])
        side = said["patch_px"]
        with PatchTableWriter(table, mpp=said["mpp"], patch_px=side, provenance=provenance) as into:
            for i, (source, group, x0, y0, weight) in enumerate(said["rows"]):
                bgr = cv2.imdecode(
                    np.frombuffer(file.read(f"{i}.webp"), np.uint8), cv2.IMREAD_COLOR
                )
                labels = np.frombuffer(file.read(f"{i}.png"), np.uint8)
                instance_map = cv2.imdecode(labels, cv2.IMREAD_UNCHANGED).astype(np.int32)
                rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
                into.append(Patch(rgb, instance_map, source, group, x0, y0, weight))


def run(plan: dict[str, Any], sets: Path, runs: Path, out: Path, device: str) -> None:
    """All trainings of a plan; see ``plan.json``."""
    out.mkdir(parents=True, exist_ok=True)
    for stage in plan["stages"]:
        begun = [(job, _begin(job, plan, sets, runs, device)) for job in stage]
        while any(process.poll() is None for _, process in begun):
            time.sleep(_COPY_EVERY_S if device.startswith("cuda") else 1.0)
            _copy(runs, out)
        _copy(runs, out)
        for job, process in begun:
            sys.stdout.write(f"{job['name']}: exit code {process.returncode}\n")


def _begin(
    job: dict[str, Any], plan: dict[str, Any], sets: Path, runs: Path, device: str
) -> subprocess.Popen[bytes]:
    folder = runs / job["name"]
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "asked.json"
    settings.write_text(json.dumps(job["settings"]))
    command = [
        sys.executable, "-c", "from hoverfast_platform.cli.main import main; main()", "train",
        plan["validated_on"], "-p", str(sets), "-o", str(folder), "--settings", str(settings),
        "--device", device,
    ]  # fmt: skip
    names = [path.stem.removesuffix("_train") for path in sorted(sets.glob("*_train.pytable"))]
    for name in names:
        without_labels = name.startswith(tuple(plan["unlabelled"]))
        if without_labels and "teacher" in job:
            command += ["--unlabelled", name]
        elif not without_labels and name != plan["validated_on"]:
            command += ["--also", name]
    for option in ("teacher", "parent"):
        if option in job:
            command += [f"--{option}", _model_of(job[option], plan, runs)]
    log = (folder / "log.txt").open("wb")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} if device != "cpu" else dict(os.environ)
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def _model_of(name: str, plan: dict[str, Any], runs: Path) -> str:
    """What an earlier stage made, a checkpoint beside this file, or a built-in model's name."""
    made = runs / name / plan["validated_on"] / "student.safetensors"
    kept = Path(__file__).parent / "checkpoints" / f"{name}.safetensors"
    return next((str(path) for path in (made, kept) if path.exists()), name)


def _copy(runs: Path, out: Path) -> None:
    for folder in sorted(runs.iterdir()):
        for pattern in (
            "log.txt",
            "*/student.json",
            "*/student.safetensors",
            "*/validations.jsonl",
        ):
            for path in folder.glob(pattern):
                shutil.copy2(path, out / f"{folder.name}.{path.name}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, first, second in (("pack", "sets", "packed"), ("unpack", "packed", "sets")):
        command = commands.add_parser(name)
        command.add_argument(first, type=Path)
        command.add_argument(second, type=Path)
    command = commands.add_parser("run")
    command.add_argument("plan", type=Path)
    command.add_argument("sets", type=Path)
    command.add_argument("--runs", type=Path, default=Path("runs"))
    command.add_argument("--out", type=Path, default=Path("out"))
    command.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    if asked.command == "pack":
        pack(asked.sets, asked.packed)
    elif asked.command == "unpack":
        unpack(asked.packed, asked.sets)
    else:
        plan = json.loads(asked.plan.read_text())
        run(plan, asked.sets, asked.runs, asked.out, asked.device)


if __name__ == "__main__":
    main()
