"""A model as an ONNX file, so that other programs can run it without this platform.

The graph is :class:`hoverfast_platform.model.network.MapsFromPixels`: pixels in, foreground
probability and HV maps out. What a program must do before and after is written into the file's
metadata, in words and as the model's card.
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
import warnings
from pathlib import Path

import torch

from hoverfast_platform.config import InstanceDecoding
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import written_atomically
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.network import MapsFromPixels

_NEEDED = ("onnx", "onnxscript")
_EXAMPLE_MULTIPLES = (3, 5)
"""Height and width of the example that the exporter traces, in multiples of what the network
needs; they differ, so that a graph that confuses them fails."""


def write_onnx(model: LoadedModel, path: Path) -> None:
    """Write a model as an ONNX file for any number of images of any allowed size.

    The input ``pixels`` is ``(N, H, W, 3)`` uint8, the output ``maps`` is ``(N, 3, H, W)``
    float32. Height and width must be multiples of ``architecture.multiple_px``.

    Args:
        model: Its batch-norm statistics are written as they are; nothing adapts to a slide.
        path: Ends in ``.onnx``; written whole or not at all.

    Raises:
        SettingsError: If the packages that write ONNX are not installed.
        StorageError: If the file cannot be written.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"An ONNX file was asked for, and {' and '.join(missing)} cannot be imported.",
            "pip install 'hoverfast-platform[onnx]'.",
        )
    multiple = model.network.architecture.multiple_px
    height, width = (multiple * n for n in _EXAMPLE_MULTIPLES)
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    rows, columns = (torch.export.Dim(name, min=1, max=1024) for name in ("rows", "columns"))
    with warnings.catch_warnings(), _quiet_exporter():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, about its own internals
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.onnx.export(
            MapsFromPixels(model.network).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["pixels"],
            output_names=["maps"],
            dynamic_shapes=(
                {
                    0: torch.export.Dim("images", min=1, max=1024),
                    1: multiple * rows,
                    2: multiple * columns,
                },
            ),
        )
    if program is None:  # only where an older exporter was asked for
        raise SettingsError("torch wrote no ONNX program.", "Update torch to 2.6 or newer.")
    program.model.metadata_props.update(_metadata(model))
    with tempfile.TemporaryDirectory() as folder, written_atomically(path) as part:
        whole = Path(folder) / "model.onnx"
        program.save(whole, external_data=False)
        part.write_bytes(whole.read_bytes())


def _metadata(model: LoadedModel) -> dict[str, str]:
    card, architecture = model.card, model.network.architecture
    appearance = card.appearance
    shown = (
        ""
        if appearance.is_as_scanned
        else (
            "This model expects brightness and stain strength brought to the card's 'appearance' "
            "first: multiply images whose brightest 1 % of pixels is darker than white_level up to "
            "it, then scale the optical density of each channel. "
        )
    )
    return {
        "name": card.name,
        "version": card.version,
        "weights_sha256": model.digest,
        "mpp": f"{card.mpp}",
        "card": card.model_dump_json(),
        "preprocessing": (
            f"Resample the image to {card.mpp} um per pixel. {shown}Give 8-bit RGB as "
            f"(N, H, W, 3); the graph divides by 255. H and W must be multiples of "
            f"{architecture.multiple_px}; mirror the image at its borders. The outermost "
            f"{architecture.receptive_radius_px} pixels of a tile see less than a pixel inside."
        ),
        "postprocessing": (
            "Plane 0 is the probability of a nucleus, planes 1 and 2 are the horizontal and "
            "vertical distance to its centre, -1 to 1. Foreground is where the probability exceeds "
            f"{InstanceDecoding().foreground_threshold}. Where "
            "a distance map falls steeply two nuclei touch: take these borders out of the "
            "foreground, number what remains, and grow the markers back to the foreground with "
            "a watershed (Graham et al., Medical Image Analysis 58 (2019) 101563)."
        ),
    }


class _quiet_exporter:  # noqa: N801 - reads as what it does at its one place of use
    """Let the exporter's notes about torchvision, which nothing here uses, go unsaid."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("torch.onnx._internal.exporter._registration")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *exc_info: object) -> None:
        self._logger.setLevel(self._level)
