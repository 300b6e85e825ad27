"""HoVer-Net as a teacher: windows over the image, one set of maps, one decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.inference.backends.devices import resolve_device
from hoverfast_platform.inference.backends.torch_predictor import predict_halving
from hoverfast_platform.model.registry import weights_digest
from hoverfast_platform.teachers.hovernet.checkpoint import load_hovernet
from hoverfast_platform.teachers.hovernet.network import HoverNet
from hoverfast_platform.teachers.hovernet.post_processing import decode_as_hovernet
from hoverfast_platform.teachers.teacher import TeacherDescription, TileImage

_BATCH_ON_GPU = 32


class HoverNetTeacher:
    """Published HoVer-Net weights at work.

    Predictions of neighbouring windows are put side by side before anything is decoded, so
    that no nucleus is cut at a window's edge.

    Args:
        path: Checkpoint of vqdang/hover_net.
        licence: Licence of the weights; those trained on PanNuke and CoNSeP are non-commercial.
        device: As the settings name it.

    Raises:
        CheckpointError: If it is not such a checkpoint.
    """

    mpp = 0.25

    def __init__(self, path: Path, *, licence: str = "", device: str = "auto") -> None:
        self._device = torch.device(resolve_device(device))
        self.network: HoverNet = load_hovernet(path).to(self._device)
        self._digest = weights_digest(path)
        self._licence = licence

    def describe(self) -> TeacherDescription:
        return TeacherDescription(
            name=f"hovernet {self.network.mode}", digest=self._digest, licence=self._licence
        )

    def label(self, tile: TileImage) -> InstanceMap:
        """Nuclei of the tile, by HoVer-Net's own decoder.

        Raises:
            ComputeError: If a single window does not fit the device.
        """
        maps = self.predict_maps(tile.rgb)
        return decode_as_hovernet(maps[0], maps[1:])

    def predict_maps(self, rgb: RgbImage) -> npt.NDArray[np.float32]:
        """``(3, H, W)`` of an ``(H, W, 3)`` image, mirrored beyond its border."""
        geometry = self.network.geometry
        side, margin = geometry.output_px, geometry.margin_px
        height, width = rgb.shape[:2]
        n_rows, n_columns = -(-height // side), -(-width // side)
        padded = np.pad(
            rgb,
            (
                (margin, n_rows * side - height + margin),
                (margin, n_columns * side - width + margin),
                (0, 0),
            ),
            mode="reflect" if min(height, width) > 1 else "edge",
        )
        corners = [
            (row * side, column * side) for row in range(n_rows) for column in range(n_columns)
        ]
        maps = np.empty((3, n_rows * side, n_columns * side), dtype=np.float32)
        batch = _BATCH_ON_GPU if self._device.type == "cuda" else 1
        for start in range(0, len(corners), batch):
            some = corners[start : start + batch]
            window = geometry.input_px
            regions = np.stack([padded[y : y + window, x : x + window] for y, x in some])
            predicted = predict_halving(self._predict, regions)
            for (y, x), found in zip(some, predicted, strict=True):
                maps[:, y : y + side, x : x + side] = found
        return maps[:, :height, :width]

    def _predict(self, regions: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        pixels = torch.from_numpy(regions).to(self._device).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            found: npt.NDArray[np.float32] = self.network(pixels).cpu().numpy()
        return found
