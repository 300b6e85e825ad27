"""The network as an OpenVINO graph, built layer by layer from its weights.

The same operations as ``model.network``, put together by hand: torch would have to trace the
network at every start, which takes longer than predicting a tile. Batch norms are folded into the
convolutions before them. Layers keep the names that OpenVINO's converter gives them, by which
``graph_statistics`` finds the batch norms of this graph and of int8 forms alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.weights import EPSILON, Weights


def network_graph(architecture: Architecture, weights: Weights) -> Any:
    """Maps from pixels: ``(1, H, W, 3)`` uint8 of any size to ``(1, 3, H, W)`` in fp32.

    Args:
        architecture: Architecture of the network.
        weights: All of its parameters and running statistics.
    """
    import openvino as ov
    from openvino import opset13 as ops

    pixels = ops.parameter([1, -1, -1, 3], np.uint8, name="pixels")
    logits, hv_maps = Layers(architecture, weights).network(scaled_pixels(pixels))
    # softmax over two classes, channel 1
    difference = ops.subtract(_planes(logits, 1, 2), _planes(logits, 0, 1))
    maps = ops.concat([ops.sigmoid(difference), hv_maps], axis=1)
    return ov.Model([ops.result(maps)], [pixels], "network")


def scaled_pixels(pixels: Any) -> Any:
    """``(N, H, W, 3)`` bytes as ``(N, 3, H, W)``, 0..1."""
    from openvino import opset13 as ops

    x = ops.convert(ops.transpose(pixels, np.array([0, 3, 1, 2])), "f32")
    return ops.divide(x, np.float32(255))


def _planes(x: Any, first: int, end: int) -> Any:
    from openvino import opset13 as ops

    return ops.slice(x, [first], [end], [1], [1])


class Layers:
    """Makes the nodes of a network; batch norms normalise by the statistics that they have."""

    def __init__(self, architecture: Architecture, weights: Weights) -> None:
        from openvino import opset13 as ops

        self._architecture, self.weights, self.ops = architecture, weights, ops

    def network(self, x: Any) -> tuple[Any, Any]:
        """Foreground logits and HV maps of ``(1, 3, H, W)``, 0..1; see ``HoverFast.forward``."""
        shape, ops = self._architecture, self.ops
        if shape.pixel_block > 1:
            x = ops.space_to_depth(x, "depth_first", shape.pixel_block)
        bridges = []
        for level in range(shape.depth):
            if level:
                pads, two = [0, 0], [2, 2]
                x = ops.max_pool(x, two, [1, 1], pads, pads, two).output(0)
            x = self._block(f"down_path.{level}", x)
            bridges.append(x)
        bridges.reverse()
        foreground = self._decoder("up_path", "last", bridges)
        if shape.shares_decoder:
            return _planes(foreground, 0, 2), _planes(foreground, 2, 4)
        return foreground, self._decoder("up_path_m", "last_m", bridges)

    def _decoder(self, path: str, last: str, bridges: list[Any]) -> Any:
        x, ops = bridges[0], self.ops
        for i, bridge in enumerate(bridges[1:]):
            name = f"{path}.{i}"
            x = ops.convolution_backprop_data(
                x, self.weights[f"{name}.up.weight"], strides=[2, 2], pads_begin=[0, 0],
                pads_end=[0, 0], dilations=[1, 1],
            )  # fmt: skip
            x = ops.add(x, self.per_channel(self.weights[f"{name}.up.bias"]))
            x = self._block(f"{name}.conv_block", ops.concat([x, bridge], axis=1))
        x = self.convolution(last, x, self.weights[f"{last}.weight"])
        x = ops.add(x, self.per_channel(self.weights[f"{last}.bias"]))
        block = self._architecture.pixel_block
        return ops.depth_to_space(x, "depth_first", block) if block > 1 else x

    def _block(self, name: str, x: Any) -> Any:
        """See ``MultiScaleBlock``."""
        ops, sizes = self.ops, self._architecture.kernel_sizes
        paths = []
        for size in sizes:
            y = x
            for first in (0, 3):  # convolution, batch norm, ReLU; and again
                y = self.normalised(f"{name}.conv_{size}.block", first, y)
            paths.append(y)
        if len(sizes) == 1:
            return paths[0]
        merged = self.convolution(
            f"{name}.conv", ops.concat(paths, axis=1), self.weights[f"{name}.conv.weight"]
        )
        return ops.add(merged, self.per_channel(self.weights[f"{name}.conv.bias"]))

    def normalised(self, name: str, first: int, x: Any) -> Any:
        """Convolution, the batch norm after it folded in, and ReLU."""
        weights, norm = self.weights, f"{name}.{first + 1}"
        slope = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + EPSILON)
        shift = weights[f"{norm}.bias"] - slope * weights[f"{norm}.running_mean"]
        kernels = weights[f"{name}.{first}.weight"] * slope.reshape(-1, 1, 1, 1)
        x = self.convolution(f"{name}.{first}", x, kernels)
        x = self.ops.add(x, self.per_channel(slope * weights[f"{name}.{first}.bias"] + shift))
        x.set_friendly_name(f"network.{norm}/aten::batch_norm/Add")
        return self.ops.relu(x)

    def convolution(self, name: str, x: Any, kernels: npt.NDArray[np.float32]) -> Any:
        """Without what is added to it; the output is as large as the input."""
        reach = [side // 2 for side in kernels.shape[2:]]
        node = self.ops.convolution(x, np.ascontiguousarray(kernels), [1, 1], reach, reach, [1, 1])
        node.set_friendly_name(f"network.{name}/aten::_convolution/Convolution")
        return node

    def per_channel(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """``(C,)`` as ``(1, C, 1, 1)``."""
        return values.reshape(1, -1, 1, 1)
