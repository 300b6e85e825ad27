import numpy as np
import pytest

from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.border_distance import BorderDistance
from hoverfast_platform.mask.tissue_mask import TissueMask


def test_distance_is_to_the_nearest_end_of_tissue():
    is_tissue = np.zeros((50, 100), bool)
    is_tissue[10:40, :60] = True
    mask = TissueMask(is_tissue, 1000, 500, Mpp(0.5, 0.5), "none")  # 5 um a mask pixel
    border = BorderDistance(mask)

    found = border.um(np.array([[305.0, 255], [595, 255], [5, 255], [305, 20], [999.9, 499.9]]))

    assert found == pytest.approx([72.5, 2.5, 2.5, 0, 0], abs=0.1)
