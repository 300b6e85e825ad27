"""Tables as spreadsheets save them, and names as people write them."""

from pathlib import Path

import pytest

from hoverfast_platform.errors import LabelError, SettingsError, StorageError
from hoverfast_platform.evaluation.labelled_set import _read_manifest
from hoverfast_platform.storage.foreign_table import read_table
from hoverfast_platform.teachers.sampling import Sampling, Source
from hoverfast_platform.use_cases.label import _with_patients

PLAIN = "stem,group\nGröße_1,p1\nb,p2\n"


def table_of(tmp_path, content, name="m.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, ("stem", "group"))


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r\n").replace(",", ";").encode("cp1252"),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        PLAIN.replace("stem,group", " Stem , GROUP "),
        PLAIN.replace("b,p2", '"b" , " p2 "').replace('" ', '"').replace(' "', '"'),
        PLAIN + "\n,\n\n",
        PLAIN.replace("\n", ",\n"),
        "organ,group,stem\nlung,p1,Größe_1\nskin,p2,b\n",
    ],
)
def test_a_table_of_any_form_says_the_same(tmp_path, content):
    table = table_of(tmp_path, content)

    assert table.value(Path("x/Größe_1.png"), "group") == "p1"
    assert table.value(Path("b.svs"), "group") == "p2"


@pytest.mark.parametrize(
    "named",
    [
        "p1_a",
        "p1_a.png",
        "P1_A.PNG",
        "p1_a.tif",
        "p1_a.ome.tif",
        "images/p1_a.png",
        "C:\\Users\\me\\p1_a.png",
        " p1_a ",
    ],
)
def test_a_row_finds_its_file_however_it_is_named(tmp_path, named):
    assert table_of(tmp_path, f"stem,group\n{named},p7\n").value(Path("/d/p1_a.png"), "group") == (
        "p7"
    )


def test_a_file_of_an_ome_tiff_is_found_by_what_stands_before_both_suffixes(tmp_path):
    assert table_of(tmp_path, "stem,group\na,p\n").value(Path("a.ome.tif"), "group") == "p"


def test_names_with_dots_are_not_cut(tmp_path):
    table = table_of(tmp_path, "stem,group\nTCGA.01.A,p1\nTCGA.01.B,p2\n")

    assert table.value(Path("TCGA.01.B.svs"), "group") == "p2"
    assert table.value(Path("TCGA.01.C.svs"), "group") is None


def test_composed_letters_are_the_letters(tmp_path):
    assert table_of(tmp_path, "stem,group\nGro\u0308\u00dfe,p\n").value(
        Path("Gr\u00f6\u00dfe.png"), "group"
    ) == "p"  # fmt: skip


def test_the_exact_name_goes_before_one_in_other_capitals(tmp_path):
    table = table_of(tmp_path, "stem,group\na,p1\nA,p2\n")

    assert table.value(Path("A.png"), "group") == "p2"
    assert table.value(Path("a.png"), "group") == "p1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column stem"),
        ("name,patient\na,b\n", "no column stem and no column group"),
        ("stem,group\na,b,c\n", "more fields than columns"),
        (b"PK\x03\x04 excel", "Excel"),
        (b"\x81\x81\x00\x00a", "not a text file"),
    ],
)
def test_what_is_not_such_a_table_is_refused(tmp_path, content, message):
    with pytest.raises(StorageError, match=message):
        table_of(tmp_path, content)


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    with pytest.raises(StorageError, match="2 different"):
        table_of(tmp_path, "stem,group\na.png,p1\na.PNG,p1\na,p2\n").value(Path("a.png"), "group")


def sources(*names):
    return [Source(Path(name), Path(name).stem) for name in names]


def test_patients_are_found_by_names_with_suffixes(tmp_path):
    """Each file would else be a patient of its own, and one patient on both sides."""
    (tmp_path / "m.csv").write_text("stem;group\na.png;p1\nb.png;p1\nc.png;p2\n")

    found = _with_patients(sources("a.png", "b.png", "c.png"), tmp_path / "m.csv", Sampling())

    assert [source.group for source in found] == ["p1", "p1", "p2"]


def test_a_file_without_a_patient_is_refused_where_a_split_depends_on_it(tmp_path):
    (tmp_path / "m.csv").write_text("stem,group\na,p1\nbb,p1\n")
    whole = Sampling(validation_fraction=0)

    with pytest.raises(SettingsError, match=r"no row for 1 of 2 files: b\.png\. Rows .*: bb"):
        _with_patients(sources("a.png", "b.png"), tmp_path / "m.csv", Sampling())
    found = _with_patients(sources("a.png", "b.png"), tmp_path / "m.csv", whole)
    assert [source.group for source in found] == ["p1", "b"]


def test_an_image_that_the_manifest_of_an_evaluation_lacks_is_refused(tmp_path):
    (tmp_path / "m.csv").write_text("stem,group\na,p1\n")

    with pytest.raises(LabelError, match="no row for 1 of 2 images: b"):
        _read_manifest(tmp_path / "m.csv", {"a": Path("a.png"), "b": Path("b.png")})
