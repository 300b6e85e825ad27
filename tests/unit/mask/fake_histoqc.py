"""Stands in for HistoQC: same arguments, same files, and its ways to fail; no imports of ours.

Called as ``fake_histoqc.py MODE RECORDED histoqc ARGUMENTS`` where RECORDED is an output folder
of the real program, or ``... histoqc.config --show NAME``.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

mode, recorded, program, *arguments = sys.argv[1:]
recorded = Path(recorded)

TEMPLATE = """[pipeline]
steps= BasicModule.getBasicStats
#    ClassificationModule.byExampleWithFeatures:pen_markings
    SaveModule.saveFinalMask

[BaseImage.BaseImage]
image_work_size = 1.25x

[BlurDetectionModule.identifyBlurryRegions]
blur_radius: 100
blur_threshold: .15

[BasicModule.finalProcessingArea]
area_threshold: 10000
"""

if program == "histoqc.config":
    if arguments != ["--show", "v2.1"]:
        print(f"unknown configuration '{arguments[-1]}'", file=sys.stderr)
        sys.exit(255)
    print("# example configuration 'v2.1'")
    print(TEMPLATE)
    sys.exit(0)

options = dict(zip(arguments[:-1:2], arguments[1:-1:2], strict=True))
assert options["-n"] == "1", "more processes than one hang when one dies"
assert options["-s"], "without a seed the mask differs from run to run"
slide = Path(Path(arguments[-1]).read_text().rstrip("\n"))
assert slide.is_absolute()
out = Path(options["-o"])
assert not out.exists(), "HistoQC skips slides whose folder exists"
out.mkdir()
name = slide.name
print("2026-11-22 21:50:44 - INFO - Number of files detected: 1")
if (note := os.environ.get("FAKE_HISTOQC_NOTE")) is not None:
    shutil.copy(options["-c"], note)
lines = (recorded / "results.tsv").read_text().splitlines(keepends=True)
header = [line for line in lines if line.startswith("#")]
rows = [line for line in lines if line.startswith(f"{name}\t")]

if mode == "hang":
    # A child that outlives its parent's end unless the whole group is ended.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["FAKE_HISTOQC_PIDS"]).write_text(f"{os.getpid()} {child.pid}")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
if mode == "crash":
    print("KeyError: 'BlurDetectionModule.identifyBluryRegions'")
    sys.exit(1)
if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "failed":
    # What the real one leaves of a slide it failed on: an empty folder, and exit code 0.
    (out / name).mkdir()
    (out / "results.tsv").write_text("".join(header))
    text = f"2026-11-22 21:57:47 - ERROR - {name} - Has unknown or uncalculated base magnification"
    (out / "error.log").write_text(text + "\n")
    sys.exit(0)
shutil.copytree(recorded / name, out / name)
shutil.copy(recorded / "error.log", out)
if mode == "no_mask":
    (out / name / f"{name}_mask_use.png").unlink()
if mode == "half_mask":
    mask = out / name / f"{name}_mask_use.png"
    mask.write_bytes(mask.read_bytes()[:60])
if mode == "half_row":
    rows = [rows[0][: len(rows[0]) // 3] + "\n"]
if mode == "no_row":
    rows = []
(out / "results.tsv").write_text("".join(header + rows))
