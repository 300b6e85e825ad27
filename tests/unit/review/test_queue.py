import dataclasses

import numpy as np

from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.review.queue import fields_to_review
from hoverfast_platform.storage.nuclei_lookup import NucleiLookup
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from tests.builders import NAMESPACE, squares


def slide_with_an_uncertain_field(path):
    """8 x 6 fields of 400 px with 8 nuclei each; those of one are uncertain."""
    blocks = []
    for j in range(6):
        for i in range(8):
            nuclei = squares(8)
            by = np.array([i * 400 + 20, j * 400 + 20])
            confidence = np.full(8, 0.4 if (i, j) == (6, 2) else 0.9 + 0.005 * i, np.float32)
            blocks.append(
                dataclasses.replace(
                    nuclei,
                    centroid_xy=nuclei.centroid_xy + by,
                    vertices_xy=nuclei.vertices_xy + by,
                    measurements={"confidence": confidence},
                )
            )
    write_nuclei_table(path, blocks, ["confidence"], metadata={}, namespace=NAMESPACE)
    return NucleiLookup(path, 40)


def test_the_field_the_model_was_unsure_of_comes_first(tmp_path):
    lookup = slide_with_an_uncertain_field(tmp_path / "n.parquet")
    first = fields_to_review(lookup, (3200, 2400), mpp=0.25)[0]
    assert (first.x0, first.y0, first.side) == (6 * 400, 2 * 400, 400)
    assert first.reason == "the model was unsure"
    assert first.n_nuclei == 8


def test_a_field_that_another_result_has_otherwise_comes_first(tmp_path):
    """The other result has the same nuclei 1 um beside, but none in one field."""
    lookup = slide_with_an_uncertain_field(tmp_path / "n.parquet")
    blocks = []
    for j in range(6):
        for i in range(8):
            nuclei = squares(0 if (i, j) == (1, 4) else 8)
            by = np.array([i * 400 + 24, j * 400 + 20])
            moved = nuclei.centroid_xy + by, nuclei.vertices_xy + by
            measured = {"confidence": np.full(len(nuclei), 0.9, np.float32)}
            blocks.append(
                dataclasses.replace(
                    nuclei, centroid_xy=moved[0], vertices_xy=moved[1], measurements=measured
                )
            )
    path = tmp_path / "other.parquet"
    write_nuclei_table(path, blocks, ["confidence"], metadata={}, namespace=NAMESPACE)

    found = fields_to_review(
        lookup, (3200, 2400), mpp=0.25, others={"lean": NucleiLookup(path, 40)}
    )

    reasons = {(field.x0 // 400, field.y0 // 400): field.reason for field in found}
    assert reasons[1, 4] == "not as lean has it"
    assert reasons[6, 2] == "the model was unsure"
    assert list(reasons.values()).count("not as lean has it") == 1


def test_a_slide_without_nuclei_has_nothing_to_look_at(tmp_path):
    path = tmp_path / "n.parquet"
    nothing = [Nuclei.empty(columns=["confidence"])]
    write_nuclei_table(path, nothing, ["confidence"], metadata={}, namespace=NAMESPACE)
    assert fields_to_review(NucleiLookup(path, 40), (3200, 2400), mpp=0.25) == ()
