"""The ``histoqc`` engine: an installed HistoQC, run on one slide in a folder of its own.

HistoQC is never imported; its requirements exclude ours. Its exit code is 0 when slides failed,
its parallel mode hangs when a worker dies, and it skips what an earlier run left half-done: so
one process per slide, in a fresh folder, with a time limit, and success is what lies in the
folder afterwards.
"""

from __future__ import annotations

import configparser
import contextlib
import io
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hoverfast_platform.config import HistoQc, MaskImport
from hoverfast_platform.errors import ComputeError, MaskError, SettingsError
from hoverfast_platform.files import reporting_storage, text_sha256
from hoverfast_platform.mask.histoqc_output import MASK_SUFFIX, HistoQcRow, log_lines, read_row
from hoverfast_platform.mask.imported import lay_on_slide
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.slide.reader import SlideInfo

_GRACE_S = 5.0
"""Between asking a process to end and ending it."""

_MAX_LEVEL_PIXELS = 1_000_000_000
"""HistoQC holds the level it shrinks whole in memory: 3 GB of RGB."""

_WORK_MPP = 8.0
"""Micrometres per pixel of HistoQC's work image with the shipped configurations."""

_REPAIRS = {
    "BlurDetectionModule.identifyBlurryRegions/blur_radius": "7",
    "BlurDetectionModule.identifyBlurryRegions/blur_threshold": ".05",
    "BasicModule.finalProcessingArea/area_threshold": "1000",
    "ClassificationModule.byExampleWithFeatures:pen_markings/nsamples_per_example": "10000",
    "ClassificationModule.byExampleWithFeatures:coverslip_edge/nsamples_per_example": "10000",
}
"""To shipped templates, where they have the section; docs/masks.md has what they change."""

_INSTALL = (
    "Install it in an environment of its own (docs/masks.md) and give its path as the command, "
    "or use the built-in engine."
)


def run_histoqc(path: Path, info: SlideInfo, settings: HistoQc) -> TissueMask:
    """Let HistoQC make the mask of a slide.

    Args:
        path: The slide's file.
        info: What is known of it.
        settings: How HistoQC is called and configured.

    Returns:
        Its ``mask_use``, with what its steps took away, its columns and its warnings. An empty
        one is a result.

    Raises:
        SettingsError: If HistoQC or its configuration is not there.
        MaskError: If it failed on this slide, left out the mask, or the mask does not fit.
        ComputeError: If it ran out of time or was killed; trying again may help.
        StorageError: If its working folder cannot be written.
    """
    path = path.absolute()
    _refuse_unsuitable(path, info)
    with _scratch_folder(settings.scratch_dir) as scratch:
        config = _configuration(settings, info, scratch)
        _write(scratch / "config.ini", config)
        # As a list: a name with brackets would be taken for a pattern.
        _write(scratch / "slides.tsv", f"{path}\n")
        out = scratch / "out"
        arguments = ["-c", "config.ini", "-o", "out", "-s", str(settings.seed), "-n", "1"]
        log = _run(settings, scratch, path, [*arguments, "slides.tsv"])
        row, mask_path = _checked(out, path.name, info, log)
        mask = lay_on_slide(
            mask_path, info, MaskImport(allow_empty=True), row=row, engine="histoqc"
        )
        provenance = mask.provenance | {
            "command": list(settings.command),
            "config": settings.config,
            "repaired": settings.repair_templates and not Path(settings.config).is_file(),
            "config_sha256": text_sha256(config),
            "version": settings.version,
            "seed": settings.seed,
        }
        warnings = mask.warnings + _magnification_warning(row, info)
    return TissueMask.of_slide(
        info,
        mask.is_tissue,
        "histoqc",
        provenance=provenance,
        findings=mask.findings,
        warnings=warnings,
    )


@contextlib.contextmanager
def _scratch_folder(parent: str) -> Iterator[Path]:
    with reporting_storage(Path(parent or tempfile.gettempdir()) / "histoqc"):
        folder = tempfile.TemporaryDirectory(prefix="histoqc-", dir=parent or None)
    with folder as name:
        yield Path(name)


def _write(path: Path, text: str) -> None:
    with reporting_storage(path):
        path.write_text(text, encoding="utf-8")


def _refuse_unsuitable(path: Path, info: SlideInfo) -> None:
    if any(character in str(path) for character in "\t\n\r#"):
        raise MaskError(
            f"HistoQC cannot be given {path}: its list of slides splits at tabs, line ends and #.",
            "Rename the slide, or use the built-in engine.",
        )
    wanted = _WORK_MPP / info.mpp.mean
    fine_enough = [i for i, (x, _) in enumerate(info.level_downsamples) if x <= wanted * 1.01]
    level = max(fine_enough, key=lambda i: info.level_downsamples[i][0], default=0)
    width, height = info.level_sizes[level] if info.level_sizes else (info.width, info.height)
    if width * height > _MAX_LEVEL_PIXELS:
        raise MaskError(
            f"HistoQC would hold a level of {width}x{height} px of {info.name} in memory: the "
            "slide has no coarser one that is fine enough.",
            "Convert it to a pyramid, for instance with `vips tiffsave --tile --pyramid`, or use "
            "the built-in engine, which reads in strips.",
        )


def _configuration(settings: HistoQc, info: SlideInfo, scratch: Path) -> str:
    """The configuration with what this slide and the settings change in it."""
    path = Path(settings.config)
    is_template = not path.is_file()
    if not is_template:
        text = path.read_text(encoding="utf-8")
    elif path.suffix == ".ini" or os.sep in settings.config:
        raise SettingsError(
            f"HistoQC's configuration {settings.config} does not exist.",
            "Give a file, or a template that `histoqc.config --list` names.",
        )
    else:
        text = _template(settings, scratch)
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise SettingsError(
            f"{settings.config} is not a configuration of HistoQC: {error}.", "Correct the file."
        ) from error
    changes = {
        name: value
        for name, value in _REPAIRS.items()
        if is_template and settings.repair_templates and parser.has_section(name.split("/")[0])
    }
    if info.objective_power is None:
        # HistoQC computes with magnification only and fails without one.
        nominal = min((5, 10, 20, 40), key=lambda power: abs(power - 10 / info.mpp.mean))
        changes["BaseImage.BaseImage/base_mag"] = str(nominal)
    if info.frame == "bounds":
        changes["BaseImage.BaseImage/enable_bounding_box"] = "True"
    for name, value in (changes | settings.overrides).items():
        section, _, key = name.rpartition("/")
        if not parser.has_section(section):
            parser.add_section(section)
        parser.set(section, key, value)
    out = io.StringIO()
    parser.write(out)
    return out.getvalue()


def _template(settings: HistoQc, scratch: Path) -> str:
    """A shipped configuration, as the installed HistoQC prints it."""
    command = [*settings.command[:-1], f"{settings.command[-1]}.config", "--show", settings.config]
    with _started(_filled(command, scratch, scratch), scratch, stderr=subprocess.PIPE) as process:
        try:
            text, errors = process.communicate(timeout=settings.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ComputeError(
                f"`{' '.join(command)}` did not answer within {settings.timeout_s:.0f} s.",
                "Run it by hand to see why.",
            ) from error
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise SettingsError(
            f"HistoQC has no configuration {settings.config!r}: `{' '.join(command)}` ended with "
            f"{process.returncode} and said: {said[0]}.",
            "`histoqc.config --list` names them; a file can be given, too.",
        )
    return text.decode()


def _run(settings: HistoQc, scratch: Path, slide: Path, arguments: list[str]) -> str:
    """Run HistoQC to its end; what it printed."""
    command = _filled([*settings.command, *arguments], scratch, slide.parent)
    log_path = scratch / "console.log"
    with (
        log_path.open("wb") as log,
        _started(command, scratch, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            code = process.wait(timeout=settings.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ComputeError(
                f"HistoQC did not finish {slide.name} within {settings.timeout_s:.0f} s and was "
                f"ended, with all its processes. {_tail(log_path)}",
                "Raise timeout_s; its default and v2.1 configurations train a classifier on "
                "every run, which nsamples_per_example shortens.",
            ) from error
    if code < 0 or code in (137, 143):  # a shell or container says 128 + signal
        number = -code if code < 0 else code - 128
        raise ComputeError(
            f"HistoQC was killed on {slide.name} by signal {number}, usually for lack of memory. "
            f"{_tail(log_path)}",
            "Give it more memory, or use the built-in engine.",
        )
    if code != 0:
        raise MaskError(
            f"HistoQC ended with {code} on {slide.name}. {_tail(log_path)}",
            "Its words above name the cause; `histoqc --help` must work in its environment.",
        )
    return _tail(log_path)


def _filled(command: Sequence[str], scratch: Path, slide_dir: Path) -> list[str]:
    """The command with the folders it may need to mount filled in."""
    return [
        word.replace("{scratch}", str(scratch)).replace("{slide_dir}", str(slide_dir))
        for word in command
    ]


@contextlib.contextmanager
def _started(
    command: list[str],
    scratch: Path,
    *,
    stdout: int | io.BufferedWriter = subprocess.PIPE,
    stderr: int = subprocess.STDOUT,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, none of which is left when the block ends."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}
    try:
        process = subprocess.Popen(
            command,
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        raise SettingsError(
            f"HistoQC cannot be started: `{command[0]}`: {error.strerror}.", _INSTALL
        ) from error
    try:
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and all it started, also those that outlived it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE_S)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _tail(log_path: Path) -> str:
    lines = log_path.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()][-3:]
    return "It said last: " + " | ".join(said) if said else "It said nothing."


def _checked(out: Path, name: str, info: SlideInfo, log: str) -> tuple[HistoQcRow, Path]:
    """The slide's line and mask, if both are whole and speak of this slide."""
    row = read_row(out, name)
    mask_path = out / name / f"{name}{MASK_SUFFIX}"
    said = " | ".join(log_lines(out, name)) or log
    if row is None or not mask_path.is_file():
        missing = "no line in results.tsv" if row is None else "no mask"
        raise MaskError(
            f"HistoQC failed on {name} though it reported success: it left {missing}. {said}",
            "Its words above name the cause. A slide without magnification needs base_mag in "
            "the configuration; one it cannot open must be converted.",
        )
    if not row.is_aligned:
        raise MaskError(
            f"HistoQC's line for {name} in results.tsv does not have the length of its header: "
            "the file was cut off.",
            "Run again; if it stays so, report it to HistoQC with its error.log.",
        )
    width, height = info.level_sizes[0] if info.level_sizes else (info.width, info.height)
    stated = (row.columns.get("width", ""), row.columns.get("height", ""))
    if stated != (str(width), str(height)) and all(stated):
        raise MaskError(
            f"HistoQC saw {stated[0]}x{stated[1]} px in {name}, we see {width}x{height}.",
            "Its OpenSlide reads the file differently; use a container with a newer one.",
        )
    return row, mask_path


def _magnification_warning(row: HistoQcRow, info: SlideInfo) -> tuple[str, ...]:
    """HistoQC computes with the nominal magnification; say where that is not the scale."""
    try:
        power = float(row.columns.get("base_mag", ""))
    except ValueError:
        return ()
    ratio = power * info.mpp.mean / 10
    if 0.8 <= ratio <= 1.25:
        return ()
    return (
        f"HistoQC took the slide for {power:g}x, but {info.mpp.mean:.3g} um per pixel is about "
        f"{10 / info.mpp.mean:.3g}x: its lengths are off by a factor of {ratio:.2g}.",
    )
