"""The dense part of decoding in an OpenVINO graph, in floating point or int8.

The same operations as ``model.border_steepness``, put together by hand: converting them would
cost every start half a second.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hoverfast_platform.hv.decode import SLOPE_KERNEL_PX, slope_kernels


def with_border_steepness(graph: Any) -> Any:
    """A graph that goes on from foreground and HV maps to what workers decode.

    Args:
        graph: Whose output is ``(N, 3, H, W)``: probability, horizontal, vertical; not changed.

    Returns:
        Its output is ``(N, 2, H, W)``: probability, steepness of borders; half precision, which
        OpenVINO rounds to many times as fast as numpy.
    """
    import openvino as ov
    from openvino import opset13 as ops

    graph = graph.clone()
    maps = graph.get_results()[0].input_value(0)
    probability = ops.slice(maps, [0], [1], [1], [1])
    hv_maps = ops.slice(maps, [1], [3], [1], [1])
    fall, smoothing = slope_kernels()
    reach = [0, 0, SLOPE_KERNEL_PX // 2, SLOPE_KERNEL_PX // 2]
    falls = ops.pad(hv_maps, reach, reach, "reflect")
    for kernels, shape in (
        ((fall, smoothing), (2, 1, 1, 1, SLOPE_KERNEL_PX)),
        ((smoothing, fall), (2, 1, 1, SLOPE_KERNEL_PX, 1)),
    ):
        weights = ops.constant(np.stack(kernels).reshape(shape))
        falls = ops.group_convolution(falls, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    steepness = ops.relu(ops.reduce_max(falls, [1], keep_dims=True))
    decodable = ops.concat([probability, steepness], axis=1)
    half = ops.convert(decodable, "f16")
    return ov.Model([ops.result(half)], graph.get_parameters())
