"""Packages, extras, built-in models, and whether a slide can be written and read."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import tempfile
from pathlib import Path

from hoverfast_platform.machine.remark import Remark
from hoverfast_platform.model.builtin_digests import BUILTIN_DIR, BUILTIN_SHA256, check_builtin
from hoverfast_platform.version import __version__

PARTS = (
    "torch",
    "openvino",
    "numpy",
    "numba",
    "opencv-python-headless",
    "shapely",
    "pyarrow",
    "tifffile",
    "openslide-python",
    "sqlalchemy",
)
"""Packages that decide what comes out or how fast; `hoverfast --version` lists them."""

_MODULES = ("torch", "cv2", "numba", "shapely", "pyarrow", "h5py", "tifffile", "openslide")
_ONLY_FOR_SOME_WORK = {
    "openvino": "without it a CPU is several times slower",
    "tables": "without it no training set can be made",
    "imagecodecs": "without it TIFF files with JPEG tiles can neither be written, nor read where "
    "OpenSlide does not read them",
}
"""Packages that a light bundle leaves out, to what is missed without them."""

EXTRAS = {
    "viewer": ("starlette", "uvicorn"),
    "platform": ("dagster",),
    "postgresql": ("psycopg2",),
    "training": ("tensorboard",),
    "quantise": ("nncf",),
    "onnx": ("onnx",),
    "anndata": ("anndata",),
    "spatialdata": ("spatialdata",),
    "dicom": ("highdicom",),
    "remote": ("fsspec", "aiohttp"),
    "s3": ("s3fs",),
    "gpu": ("pynvml",),
    "czi": ("pylibCZIrw",),
}
"""Extra to the modules that tell whether it is installed."""

_FORMATS = (
    "Aperio svs, Hamamatsu ndpi and vms, Leica scn, MIRAX mrxs, Philips tiff, Sakura svslide, "
    "Trestle and Ventana tif and bif, Zeiss czi, Huron and Argos, DICOM"
)


def version_of(package: str) -> str:
    """Version of an installed package; ``not installed`` otherwise."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def versions() -> dict[str, str]:
    """Versions of the program, of Python and of the parts, without importing them."""
    return {
        "hoverfast": __version__,
        "python": platform.python_version(),
        **{part: version_of(part) for part in PARTS},
    }


def packages() -> Remark:
    """Whether all that is needed can be imported."""
    failed = []
    for name in _MODULES:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: a library of the system is missing
            failed.append(f"{name} ({error})")
    versions = ", ".join(f"{name} {version_of(name)}" for name in PARTS)
    if failed:
        return Remark(
            "wrong",
            f"cannot be imported: {'; '.join(failed)}",
            "Install hoverfast_platform again into a fresh environment.",
        )
    absent = [name for name in _ONLY_FOR_SOME_WORK if importlib.util.find_spec(name) is None]
    if absent:
        missed = "; ".join(f"{name}: {_ONLY_FOR_SOME_WORK[name]}" for name in absent)
        return Remark("note", versions, f"Not installed: {missed}. pip install {' '.join(absent)}")
    return Remark("ok", versions)


def extras() -> Remark:
    """Which extras are installed; none is needed for `infer_wsi`."""
    have = [
        name
        for name, modules in EXTRAS.items()
        if all(importlib.util.find_spec(module) for module in modules)
    ]
    lack = [name for name in EXTRAS if name not in have]
    text = f"installed: {', '.join(have) or 'none'}; not installed: {', '.join(lack) or 'none'}"
    return Remark("ok", text)


def models() -> Remark:
    """Whether the built-in models are the files that were released.

    Raises:
        CheckpointError: If one of them is not.
    """
    for name in BUILTIN_SHA256:
        check_builtin(BUILTIN_DIR / name)
    names = sorted(path.stem for path in BUILTIN_DIR.glob("*.safetensors"))
    return Remark("ok", f"{', '.join(names)}: as released")


def slides() -> Remark:
    """Whether a slide can be written, opened and read here.

    Raises:
        SlideError: If it cannot.
    """
    import openslide

    from hoverfast_platform.geometry import Box
    from hoverfast_platform.slide import open_slide
    from hoverfast_platform.synthetic import write_synthetic_slide

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tiff"
        write_synthetic_slide(path, width_px=320, height_px=256)
        with open_slide(path) as slide:
            slide.read_level(0, Box(x0=0, y0=0, x1=64, y1=32))
    return Remark(
        "ok",
        f"OpenSlide {openslide.__library_version__}: {_FORMATS}; by tifffile: OME-TIFF, BigTIFF, "
        "plain TIFF",
    )
