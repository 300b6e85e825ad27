"""Which slide formats are read, by which library, and what to do about the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SlideFormat:
    """A kind of slide file.

    Attributes:
        name: As people call it.
        suffixes: Endings of the file to give; a watched folder is looked through for them.
        reader: The library; empty where it is not read.
        tried_on: With what it is tested, or why it could not be.
        remedy: What to do where it is not read, or not all of it.
    """

    name: str
    suffixes: tuple[str, ...]
    reader: str
    tried_on: str
    remedy: str = ""


_FROM_CZI = (
    "Make a slide of one of several planes or scenes: hoverfast slide extract FILE.czi SLIDE.tiff "
    "--z N --scene NAME (extra `czi`)."
)

FORMATS = (
    SlideFormat("Aperio", (".svs", ".tif"), "OpenSlide", "real slides"),
    SlideFormat("Hamamatsu", (".ndpi", ".vms", ".vmu"), "OpenSlide", "no file was at hand"),
    SlideFormat("MIRAX, with its folder beside it", (".mrxs",), "OpenSlide", "no file was at hand"),
    SlideFormat("DICOM, one series in a folder", (".dcm",), "OpenSlide", "real slides"),
    SlideFormat("Leica", (".scn",), "OpenSlide", "no file was at hand"),
    SlideFormat("Ventana", (".bif", ".tif"), "OpenSlide", "no file was at hand"),
    SlideFormat("Sakura", (".svslide",), "OpenSlide", "no file was at hand"),
    SlideFormat("Philips, Trestle", (".tiff", ".tif"), "OpenSlide", "no file was at hand"),
    SlideFormat(
        "Zeiss CZI, one plane",
        (".czi",),
        "OpenSlide",
        "no scanner's file was at hand",
        _FROM_CZI,
    ),
    SlideFormat("Zeiss CZI of several planes, scenes or dimensions", (".czi",), "",
                "files made by pylibCZIrw", _FROM_CZI),
    SlideFormat("tiled TIFF in JPEG, LZW, deflate", (".tif", ".tiff"), "OpenSlide", "files made"),
    SlideFormat(
        "TIFF in JPEG 2000, JPEG XL, JPEG XR, WebP, zstd, LERC, PNG, LZMA; big-endian; strips",
        (".tif", ".tiff", ".btf", ".tf8"),
        "tifffile",
        "files made by tifffile",
    ),
    SlideFormat(
        "TIFF of 10 to 16 bits, floating point, or planes apart",
        (".tif", ".tiff"),
        "tifffile",
        "files made by tifffile",
    ),
    SlideFormat("OME-TIFF, levels in SubIFDs, scale in XML", (".ome.tif", ".ome.tiff"),
                "tifffile", "files made by tifffile"),
    SlideFormat("Akoya QPTIFF, in colour", (".qptiff",), "OpenSlide, tifffile", "a file made"),
    SlideFormat("OME-Zarr 0.4 and 0.5, plain Zarr", (".zarr",), "", "folders made by zarr",
                "Make a slide of it: hoverfast slide extract FOLDER.zarr SLIDE.tiff."),
    SlideFormat("Philips iSyntax", (".isyntax",), "", "",
                "Export it from Philips' own program as TIFF or DICOM."),
    SlideFormat("Olympus VSI, Zeiss ZVI, Nikon ND2, Leica LIF", (".vsi", ".zvi", ".nd2", ".lif"),
                "", "", "Convert it: bfconvert, or bioformats2raw and raw2ometiff."),
)  # fmt: skip

SLIDE_SUFFIXES = frozenset(
    "." + suffix.rpartition(".")[2] for kind in FORMATS if kind.reader for suffix in kind.suffixes
)
"""Endings of what is read; other files in a watched folder are nobody's business."""


def remedy_for(suffix: str) -> str:
    """What to do with a file that is not read, by its ending; empty if nothing is known."""
    return next((kind.remedy for kind in FORMATS if suffix.lower() in kind.suffixes), "")
