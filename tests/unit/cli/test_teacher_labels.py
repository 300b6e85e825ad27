"""``hoverfast teacher-labels`` from annotated images to a training set."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.errors import LabelError, SettingsError
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.use_cases.label import mpp_by_nuclei


@pytest.fixture
def annotated(tmp_path):
    for folder in ("image", "label"):
        (tmp_path / folder).mkdir()
    for name in ("p1_a", "p1_b", "p2_a"):
        label = np.zeros((48, 64), dtype=np.uint16)
        label[8:28, 8:28] = 3
        Image.fromarray(label).save(tmp_path / "label" / f"{name}.png")
        Image.fromarray(np.full((48, 64, 3), 200, np.uint8)).save(
            tmp_path / "image" / f"{name}.png"
        )
    (tmp_path / "manifest.csv").write_text("stem,group\np1_a,p1\np1_b,p1\np2_a,p2\n")
    return tmp_path


def _label(annotated, *options):
    arguments = ["teacher-labels", "set", str(annotated / "image"), "-o", str(annotated / "out")]
    arguments += ["-t", "annotations", "--tile-px", "64"]
    return CliRunner().invoke(
        hoverfast, [*arguments, *options], standalone_mode=False, catch_exceptions=False
    )


def test_patients_stay_together_and_licences_travel(annotated):
    _label(annotated, "--labels", str(annotated / "label"), "--mpp", "0.25", "--manifest",
           str(annotated / "manifest.csv"), "--validation-group", "p2", "--licence", "CC0-1.0",
           "--citation", "Somebody 2020", "--weight", "0.5")  # fmt: skip

    train = PatchTable(annotated / "out" / "set_train.pytable")
    assert set(train.groups) == {"p1"}
    assert set(PatchTable(annotated / "out" / "set_test.pytable").groups) == {"p2"}
    assert train.provenance.labels[0].licence == "CC0-1.0"
    assert train.provenance.labels[0].citation == "Somebody 2020"
    assert train.weights.tolist() == [0.5, 0.5]


def test_unknown_scale_is_measured_on_the_nuclei(annotated):
    labels = annotated / "label"
    # 20x20 px have a diameter of 22.57 px; as 5 um that is 0.2215 um/px
    assert mpp_by_nuclei(labels / "p1_a.png", 5.0) == pytest.approx(0.2215, abs=1e-4)

    _label(annotated, "--labels", str(labels), "--nucleus-um", "5", "--validation-group", "p2_a")

    patch = PatchTable(annotated / "out" / "set_train.pytable").read(0)
    assert patch.instance_map.shape == (43, 57)  # 48 and 64 * 0.2215 / 0.25, rounded up


def test_a_set_to_learn_from_only(annotated):
    done = _label(annotated, "--labels", str(annotated / "label"), "--mpp", "0.25",
                  "--validation-fraction", "0")  # fmt: skip

    assert len(PatchTable(annotated / "out" / "set_train.pytable")) == 3
    assert not (annotated / "out" / "set_test.pytable").exists()
    assert "validation" not in done.output


def test_no_nucleus_to_measure_is_an_error(tmp_path):
    Image.fromarray(np.zeros((9, 12), np.uint16)).save(tmp_path / "a.png")

    with pytest.raises(LabelError, match="no nuclei"):
        mpp_by_nuclei(tmp_path / "a.png", 5.0)


def test_annotations_need_their_folder(annotated):
    with pytest.raises(SettingsError, match="--labels"):
        _label(annotated, "--mpp", "0.25")
