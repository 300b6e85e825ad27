import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.errors import LabelError, SettingsError, UnreadableSlideError
from hoverfast_platform.evaluation.labelled_set import open_labelled_set
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter

LABEL = np.zeros((20, 30), dtype=np.uint16)
LABEL[2:6, 2:6], LABEL[10:15, 10:20] = 3, 900


@pytest.fixture
def folder(tmp_path):
    """Images a and b of patient p, c of patient q, with a manifest."""
    for name in ("image", "label"):
        (tmp_path / name).mkdir()
    for i, stem in enumerate("abc"):
        image = np.full((20, 30, 3), 200 + i, dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "image" / f"{stem}.png")
        Image.fromarray(LABEL).save(tmp_path / "label" / f"{stem}.png")
    (tmp_path / "manifest.csv").write_text(
        "stem,group,mpp,licence\na,p,,CC0-1.0\nb,p,0.5,CC0-1.0\nc,q,,CC-BY-4.0\n"
    )
    return tmp_path


def test_folder_pairs_images_and_takes_patients_from_the_manifest(folder):
    opened = open_labelled_set(folder, mpp=0.25)

    assert [(i.name, i.group, i.mpp) for i in opened.items] == [
        ("a", "p", 0.25),
        ("b", "p", 0.25),
        ("c", "q", 0.25),
    ]
    first = next(iter(opened))
    assert first.image.shape == (20, 30, 3)
    np.testing.assert_array_equal(first.instance_map, LABEL)
    assert opened.provenance["licences"] == ["CC-BY-4.0", "CC0-1.0"]


def test_mpp_is_never_guessed_but_the_manifest_may_say_it(folder):
    with pytest.raises(SettingsError, match=r"of a in .* not known"):
        open_labelled_set(folder)
    (folder / "manifest.csv").write_text("stem,mpp\na,0.5\nb,0.25\nc,0.25\n")

    assert [i.mpp for i in open_labelled_set(folder).items] == [0.5, 0.25, 0.25]
    (folder / "manifest.csv").write_text("stem,mpp\na,forty\nb,0.25\nc,0.25\n")
    with pytest.raises(SettingsError, match="'forty'"):
        open_labelled_set(folder)


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), 1000])
def test_absurd_mpp_is_refused(folder, mpp):
    with pytest.raises(SettingsError, match="between 0 and 50"):
        open_labelled_set(folder, mpp=mpp)


def test_groups_can_be_chosen_and_unknown_ones_are_listed(folder):
    assert [i.name for i in open_labelled_set(folder, mpp=1, groups=["q"]).items] == ["c"]
    with pytest.raises(SettingsError, match=r"no group z\. Its groups: p, q"):
        open_labelled_set(folder, mpp=1, groups=["z", "p"])


def test_digest_follows_content_choice_and_mpp_not_the_folder_name(folder, tmp_path):
    def digest(**kwargs):
        return open_labelled_set(folder, **({"mpp": 0.25} | kwargs)).digest

    original = digest()
    assert digest() == original
    moved = folder.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    assert open_labelled_set(moved, mpp=0.25).digest == original
    moved.rename(folder)
    assert digest(mpp=0.5) != original
    assert digest(groups=["p"]) != original
    changed = LABEL.copy()
    changed[0, 0] = 1
    Image.fromarray(changed).save(folder / "label" / "c.png")
    assert digest() != original


def test_without_manifest_each_image_is_its_own_group(folder):
    (folder / "manifest.csv").unlink()

    assert [i.group for i in open_labelled_set(folder, mpp=1).items] == ["a", "b", "c"]


def test_lonely_files_are_named(folder):
    (folder / "label" / "b.png").unlink()
    (folder / "image" / "c.png").unlink()

    with pytest.raises(LabelError, match=r"2 of 3 images .* lack a partner: b, c"):
        open_labelled_set(folder, mpp=1)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: (p / "image").mkdir()])
def test_empty_folder_says_what_it_should_hold(tmp_path, make):
    make(tmp_path)

    with pytest.raises(LabelError, match=r"image/<stem>\.png"):
        open_labelled_set(tmp_path, mpp=1)


def test_label_of_another_size_is_refused_before_anything_runs(folder):
    Image.fromarray(LABEL[:10]).save(folder / "label" / "c.png")

    with pytest.raises(LabelError, match=r"c\.png is 30x20 px, its label c\.png 30x10"):
        open_labelled_set(folder, mpp=1)


def test_labels_without_one_nucleus_are_refused(folder):
    for stem in "abc":
        Image.fromarray(LABEL * 0).save(folder / "label" / f"{stem}.png")

    with pytest.raises(LabelError, match="not one nucleus"):
        open_labelled_set(folder, mpp=1)


def test_broken_files_are_named(folder):
    (folder / "image" / "a.png").write_bytes(b"no image")
    with pytest.raises(UnreadableSlideError, match=r"a\.png"):
        open_labelled_set(folder, mpp=1)
    (folder / "manifest.csv").write_text("name,group\na,p\n")
    with pytest.raises(LabelError, match="no column stem"):
        open_labelled_set(folder, mpp=1)
    with pytest.raises(LabelError, match="does not exist"):
        open_labelled_set(folder / "nowhere", mpp=1)


def test_two_files_of_one_stem_are_refused(folder):
    np.save(folder / "label" / "a.npy", LABEL)

    with pytest.raises(LabelError, match="same stem"):
        open_labelled_set(folder, mpp=1)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "validation.h5"
    made_by = LabelProvenance(teacher="HoVer-Net", cohort="skin 2")
    with PatchTableWriter(path, mpp=0.25, patch_px=16, provenance=made_by) as writer:
        for source, group in (("s1", "p"), ("s2", "q")):
            image = np.full((20, 30, 3), 200, dtype=np.uint8)
            writer.append(Patch(image, LABEL.astype(np.int32), source, group))
    return path


def test_patch_table_is_a_labelled_set_with_its_own_digest(table):
    opened = open_labelled_set(table)

    assert len(opened) == 8
    assert len({item.name for item in opened.items}) == 8
    assert {(i.source, i.group, i.mpp) for i in opened.items} == {
        ("s1", "p", 0.25),
        ("s2", "q", 0.25),
    }
    assert all(i.image.shape[:2] == i.instance_map.shape for i in opened)
    assert opened.read(7).image.shape == (4, 14, 3)  # without its border of white
    assert opened.labels_by == "HoVer-Net"
    assert opened.provenance["cohort"] == "skin 2"
    part = open_labelled_set(table, groups=["q"])
    assert [i.source for i in part.items] == ["s2"] * 4
    assert part.digest != opened.digest


def test_mpp_that_contradicts_the_table_is_refused(table):
    assert open_labelled_set(table, mpp=0.25).items[0].mpp == 0.25
    with pytest.raises(SettingsError, match=r"says 0\.25 um/px, but 0\.5 was given"):
        open_labelled_set(table, mpp=0.5)
