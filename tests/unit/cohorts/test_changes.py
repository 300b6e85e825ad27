"""Changes of cohorts, told look by look."""

import json

import pytest

from hoverfast_platform.catalogue import Catalogue, SlideRecord
from hoverfast_platform.catalogue.rows import utc_now
from hoverfast_platform.catalogue.watched_files import Judged
from hoverfast_platform.cohorts.changes import LONGEST_WAIT, look_at_cohorts
from hoverfast_platform.cohorts.cohort import LearningFolder, find_cohort
from hoverfast_platform.errors import TrainingError

QUIET_S = 60


class Lab:
    """A folder of plans, a catalogue, a clock, and what the last look saw."""

    def __init__(self, root):
        self.folder = LearningFolder(root)
        self.catalogue = Catalogue.open(root / "catalogue.sqlite")
        self.seen, self.now_s = {}, 1_000_000.0
        self.present = {}

    def plan(self, name="skin", **settings):
        path = self.folder.plan(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"slides_like": "skin*"} | settings))

    def register(self, name):
        self.catalogue.slides.register(
            SlideRecord(name.ljust(64, "0"), name, f"/{name}", "v", 1, 1, 0.25, 0.25, "file")
        )

    def watch(self, name):
        """A slide in a watched folder."""
        self.present = {**self.present, f"/{name}": "1"}
        for _ in range(2):
            self._look_at_folder()
        record = SlideRecord(name.ljust(64, "0"), name, f"/{name}", "v", 1, 1, 0.25, 0.25, "file")
        files = self.catalogue.files
        files.record([Judged(file, record) for file in files.ready(9)], utc_now())

    def delete(self, name):
        self.present = {path: s for path, s in self.present.items() if path != f"/{name}"}
        self._look_at_folder()

    def _look_at_folder(self):
        self.catalogue.files.update("/", self.present, now=utc_now(), settle_s=0, all_listed=True)

    def look(self, after_s=QUIET_S / 2):
        self.now_s += after_s
        found = look_at_cohorts(
            self.folder, self.catalogue, self.seen, now_s=self.now_s, quiet_s=QUIET_S
        )
        self.seen = found.seen
        return found

    def due(self, after_s=QUIET_S / 2):
        return [change for change in self.look(after_s).changes if change.wait_s <= 0]

    def learn(self, name="skin"):
        found = find_cohort(self.folder, self.catalogue.slides.all(), name)
        return self.catalogue.cohorts.record(found, {})


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    made.catalogue.close()


def test_new_cohort_is_due_once_it_stood_still(lab):
    lab.plan()
    lab.register("skin1.svs")
    assert lab.due() == []
    assert lab.due() == []
    (change,) = lab.due()
    assert (change.name, change.version) == ("skin", 1)

    lab.learn()

    assert lab.look().changes == ()


def test_deleted_slide_leaves_the_cohort_with_a_warning_or_holds_it(lab):
    """Its labels could not be made, and nothing would ever be learned from the others again."""
    lab.plan()
    for name in ("skin1", "skin2"):
        lab.watch(name)
    lab.learn()

    lab.delete("skin1")

    assert [lab.due(), lab.due(), len(lab.due())] == [[], [], 1]
    learned = lab.learn()
    assert [member.slide.name for member in learned.members] == ["skin2"]
    assert learned.version == 2
    assert "1 slides have no file any more: skin1-" in learned.warnings[0]
    assert lab.catalogue.cohorts.get("skin").warnings == learned.warnings
    lab.plan(missing_slides="hold")
    assert "is held" in lab.look().problems["skin"]
    lab.watch("skin1")
    assert lab.look().problems == {}


def test_every_slide_that_comes_starts_the_quiet_time_again(lab):
    lab.plan()
    lab.register("skin1.svs")
    lab.learn()
    assert lab.due() == []
    for i in range(2, 5):
        lab.register(f"skin{i}.svs")
        assert lab.due() == []
        assert lab.due() == []
    assert len(lab.due()) == 1


def test_cohort_that_never_stands_still_is_due_at_last(lab):
    lab.plan()
    n_looks = 0
    for i in range(100):
        lab.register(f"skin{i}.svs")
        n_looks += 1
        if lab.due():
            break
    assert n_looks == LONGEST_WAIT * 2 + 1


def test_slide_of_another_cohort_changes_nothing(lab):
    lab.plan()
    lab.register("skin1.svs")
    lab.learn()
    lab.register("liver.svs")
    assert lab.look().changes == ()


def test_cohort_that_becomes_what_it_was_has_a_version_of_its_own(lab):
    lab.register("skin1.svs")
    versions = []
    for teacher in ("classical", "student", "classical"):
        lab.plan(teacher=teacher)
        lab.look()
        (change,) = lab.due(QUIET_S)
        versions.append((change.version, change.digest))
        lab.learn()
    assert [version for version, _ in versions] == [1, 2, 3]
    assert versions[0][1] == versions[2][1]


def test_corrected_label_file_is_a_change(lab):
    labels = lab.folder.root / "labels"
    labels.mkdir()
    (labels / "skin1.geojson").write_text("{}")
    lab.plan(labels={"folder": str(labels)})
    lab.register("skin1.svs")
    lab.learn()
    assert lab.look().changes == ()

    (labels / "skin1.geojson").write_text("{ }")

    lab.look()
    assert [change.version for change in lab.due(QUIET_S)] == [2]


def test_plan_that_cannot_be_followed_is_named_until_it_is_repaired(lab):
    lab.plan(slides_like="nothing*")
    lab.plan("typo", slide_like="*")
    for _ in range(2):
        found = lab.look()
        assert found.changes == ()
        assert "none matches" in found.problems["skin"]
        assert "slide_like" in found.problems["typo"]

    lab.register("nothing.svs")
    lab.folder.plan("typo").unlink()

    assert not lab.look().problems
    assert [change.name for change in lab.due(QUIET_S)] == ["skin"]


def test_unchanged_labels_are_not_read_again(lab, monkeypatch):
    lab.plan()
    lab.register("skin1.svs")
    lab.look()
    monkeypatch.setattr("hoverfast_platform.cohorts.changes.find_cohort", None)

    assert lab.look().problems == {}


def test_a_slide_whose_patient_the_pattern_does_not_find_is_refused_by_name(lab):
    """It would stand for itself, and be split apart from other slides of its patient."""
    for name in ("skin_p1_a.svs", "skin_p1_b.svs", "skin_P1_c.svs"):
        lab.register(name)
    lab.plan(patient_pattern="_(p[0-9]+)_")

    with pytest.raises(TrainingError, match=r"no patient in 1 of 3 file names: skin_P1_c\.svs"):
        lab.learn()

    lab.plan(patient_pattern="_([pP][0-9]+)_")
    lab.learn()
