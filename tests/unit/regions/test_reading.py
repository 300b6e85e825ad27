"""Regions from files of people: what is one, and what does not fit the slide."""

import json

import numpy as np
import pytest
import shapely

from hoverfast_platform.errors import RegionError
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.regions.reading import RegionFrame, find_regions_file, read_regions

WIDTH, HEIGHT = 4000, 2500
FRAME = RegionFrame("A 1.svs", WIDTH, HEIGHT, Mpp(0.25, 0.25))


def square(x, y, side=100):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(rings, *, kind="Polygon", **properties):
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": rings},
        "properties": {"objectType": "annotation", **properties},
    }


def file_of(tmp_path, *features, name="A 1.geojson"):
    path = tmp_path / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def tissue(*boxes):
    """A mask of 10 px a pixel with tissue in boxes of level-0 pixels."""
    is_tissue = np.zeros((HEIGHT // 10, WIDTH // 10), np.bool_)
    for x0, y0, x1, y1 in boxes:
        is_tissue[y0 // 10 : y1 // 10, x0 // 10 : x1 // 10] = True
    return TissueMask(is_tissue, WIDTH, HEIGHT, FRAME.mpp, "builtin")


def test_holes_parts_names_and_classes_are_kept(tmp_path):
    path = file_of(
        tmp_path,
        feature([square(2000, 500, 400), square(2100, 600, 50)], name="Front",
                classification={"name": "Tumor"}),
        feature([[square(3000, 500)], [square(3500, 900)]], kind="MultiPolygon",
                classification={"name": "Region*"}),
        feature([square(3000, 2000)]),
    )  # fmt: skip

    found = read_regions(path, FRAME)

    assert [one.name for one in found.regions] == ["Front", "Region* 2", "region 3"]
    assert [one.class_name for one in found.regions] == ["Tumor", "Region*", ""]
    areas = [shapely.area(one.geometry) for one in found.regions]
    assert areas == [400 * 400 - 50 * 50, 2 * 100 * 100, 100 * 100]
    assert shapely.area(found.union) == sum(areas)
    assert found.notes == ()


def test_what_is_no_region_is_left_out_and_said(tmp_path):
    nucleus = feature([square(3000, 2000, 12)])
    nucleus["properties"]["objectType"] = "detection"
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [3000, 2000]}}
    path = file_of(tmp_path, nucleus, feature([square(3000, 2000)]), point)

    found = read_regions(path, FRAME)

    assert len(found.regions) == 1
    assert found.notes == ("A 1.geojson: left out 1 x detection or cell, 1 x point",)


@pytest.mark.parametrize("features", [[], ["detection"]])
def test_a_file_without_a_region_is_refused(tmp_path, features):
    nuclei = [feature([square(9, 9)], objectType=kind) for kind in features]

    with pytest.raises(RegionError, match="holds no region"):
        read_regions(file_of(tmp_path, *nuclei), FRAME)


def test_regions_outside_the_slide_are_refused(tmp_path):
    path = file_of(tmp_path, feature([square(5000, 100)]), feature([square(100, -900)]))

    with pytest.raises(RegionError, match=r"outside A 1\.svs, which has 4000x2500 px"):
        read_regions(path, FRAME)


def test_micrometres_are_refused_where_the_tissue_tells_them_from_pixels(tmp_path):
    in_um = feature([square(3000 * 0.25, 2000 * 0.25, 50)])

    with pytest.raises(RegionError, match="if they were micrometres"):
        read_regions(file_of(tmp_path, in_um), FRAME, tissue((2900, 1900, 3400, 2300)))


def test_regions_in_a_corner_are_remarked_on(tmp_path):
    in_corner = feature([square(700, 400, 50)])

    found = read_regions(file_of(tmp_path, in_corner), FRAME, tissue((600, 300, 3000, 2000)))

    assert "top left 25% of the slide's width and height" in found.notes[0]


def test_a_region_without_tissue_is_remarked_on(tmp_path):
    found = read_regions(
        file_of(tmp_path, feature([square(3000, 2000)])), FRAME, tissue((0, 0, 200, 200))
    )

    assert found.notes == ("the regions of A 1.geojson hold no usable tissue",)


def test_a_region_that_crosses_itself_is_repaired_and_said(tmp_path):
    bow_tie = [[3000, 1000], [3100, 1100], [3100, 1000], [3000, 1100], [3000, 1000]]

    (region,) = read_regions(file_of(tmp_path, feature([bow_tie])), FRAME).regions

    assert region.geometry.is_valid
    assert shapely.area(region.geometry) == 5000
    assert "crosses or touches itself" in region.remarks[0]


def test_a_region_is_cut_at_the_slides_edge_and_said(tmp_path):
    outside, over = feature([square(5000, 100)]), feature([square(3950, 1000)])

    regions = read_regions(file_of(tmp_path, outside, over), FRAME).regions

    assert [shapely.area(one.geometry) for one in regions] == [0, 50 * 100]
    assert "outside the slide or has no area" in regions[0].remarks[0]
    assert regions[1].remarks == ("50.0% of it lies outside the slide and was cut",)


def test_overlapping_regions_say_with_which(tmp_path):
    path = file_of(
        tmp_path,
        feature([square(3000, 1000)], name="a"),
        feature([square(3050, 1000)], name="b"),
        feature([square(3150, 1000)], name="touches b"),
    )

    regions = read_regions(path, FRAME).regions

    assert [one.remarks for one in regions] == [
        ("it overlaps b; nuclei in both are counted in each",),
        ("it overlaps a; nuclei in both are counted in each",),
        (),
    ]


def test_a_name_of_another_slide_is_remarked_on(tmp_path):
    path = file_of(tmp_path, feature([square(3000, 1000)]), name="B 2.geojson")

    assert read_regions(path, FRAME).notes == (
        "B 2.geojson is not named after A 1.svs; check that it belongs to it",
    )


def test_control_characters_in_names_are_written_out(tmp_path):
    path = file_of(tmp_path, feature([square(3000, 1000)], name="a\x1b[2Jb"))

    assert read_regions(path, FRAME).regions[0].name == r"a\x1b[2Jb"


def test_a_folder_holds_a_file_for_each_slide(tmp_path):
    (tmp_path / "A 1.svs.json").touch()
    assert find_regions_file(tmp_path, "A 1", "A 1.svs", is_only_slide=False).name == "A 1.svs.json"
    (tmp_path / "A 1.geojson").touch()
    assert find_regions_file(tmp_path, "A 1", "A 1.svs", is_only_slide=False).name == "A 1.geojson"

    with pytest.raises(RegionError, match=r"No regions for B\.svs .* there are A 1\.geojson"):
        find_regions_file(tmp_path, "B", "B.svs", is_only_slide=True)


def test_one_file_is_not_taken_for_several_slides(tmp_path):
    (tmp_path / "A 1.geojson").touch()

    with pytest.raises(RegionError, match="more than one slide"):
        find_regions_file(tmp_path / "A 1.geojson", "A 1", is_only_slide=False)
