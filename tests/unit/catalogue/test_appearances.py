"""Which slides one is compared with."""

from hoverfast_platform.catalogue import (
    AppearanceRecord,
    Catalogue,
    CohortMemberRecord,
    CohortRecord,
    SlideRecord,
)


def test_companions_are_of_its_cohort_or_all_others(tmp_path):
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:
        keys = []
        for i in range(4):
            record = SlideRecord(str(i) * 64, f"s{i}.svs", f"/s{i}", "v", 1, 1, 0.25, 0.25, "file")
            keys.append(catalogue.slides.register(record))
            catalogue.slides.record_appearance(keys[i], AppearanceRecord(i, i, i))
        catalogue.slides.record_appearance(keys[0], AppearanceRecord(10, 10, 10))  # measured again

        assert [o.eosin for o in catalogue.slides.companions(keys[3])[1]] == [2, 1, 10]
        assert catalogue.slides.companions(keys[3])[0] == "all slides"

        by_key = {slide.key: slide for slide in catalogue.slides.all()}
        for n_members in (2, 3):
            members = tuple(CohortMemberRecord(by_key[key], key) for key in keys[:n_members])
            catalogue.cohorts.record(CohortRecord("skin", 0, f"{n_members}", members), {})

        name, others = catalogue.slides.companions(keys[1])
        assert (name, [o.eosin for o in others]) == ("cohort skin v2", [2, 10])
        assert catalogue.slides.companions(keys[3])[0] == "all slides"


def test_in_an_archive_the_newest_are_compared_with(tmp_path, monkeypatch):
    monkeypatch.setattr("hoverfast_platform.catalogue.slides.N_COMPANIONS", 2)
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:
        for i in range(4):
            record = SlideRecord(str(i) * 64, f"s{i}.svs", f"/s{i}", "v", 1, 1, 0.25, 0.25, "file")
            key = catalogue.slides.register(record)
            catalogue.slides.record_appearance(key, AppearanceRecord(i, i, i))

        assert [o.eosin for o in catalogue.slides.companions(key)[1]] == [2, 1]
