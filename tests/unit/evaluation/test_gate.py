import pytest
from pydantic import ValidationError

from hoverfast_platform.catalogue.descent_records import Ancestry, LabelUse
from hoverfast_platform.evaluation.gate import judge
from hoverfast_platform.verdict import MeasuredScores, PromotionPolicy

GOOD = {"dice": 0.80, "aji": 0.65, "dq": 0.8, "sq": 0.8, "pq": 0.64, "f1": 0.88}
CARD = {"labels": [{"name": "TNBC", "licence": "CC-BY-4.0"}], "training_set_digest": "t" * 64}


def measured(dataset="d" * 64, settings="s" * 64, n_images=11, n_nuclei=592, **scores):
    return MeasuredScores(dataset, settings, n_images, n_nuclei, GOOD | scores)


def test_first_model_needs_no_rival():
    verdict = judge(measured(), None, card=CARD)

    assert verdict.passed
    assert "dice 0.8000" in verdict.reasons


@pytest.mark.parametrize("change", [{}, {"pq": 0.70}, {"aji": 0.6481}])
def test_better_equal_or_within_tolerance_passes(change):
    assert judge(measured(**change), measured(), card=CARD).passed


def test_worse_candidate_is_refused_with_each_reason():
    verdict = judge(measured(dice=0.79, pq=0.60, f1=0.95), measured(), card=CARD)

    assert not verdict.passed
    assert len(verdict.reasons) == 2
    assert "dice 0.7900 is worse than the promoted model's 0.8000" in str(verdict)
    assert "pq 0.6000" in str(verdict)


def test_tolerance_is_a_setting():
    candidate = measured(pq=0.60)

    assert judge(candidate, measured(), card=CARD, policy=PromotionPolicy(tolerance=0.05)).passed
    strict = PromotionPolicy(tolerance=0)
    assert not judge(measured(pq=0.6399), measured(), card=CARD, policy=strict).passed


@pytest.mark.parametrize(
    ("candidate", "text"),
    [
        (measured(dice=0.69), "below the floor of 0.7"),
        (measured(aji=float("nan")), "aji nan"),
        (measured(n_images=4), "4 validation images"),
        (measured(n_nuclei=99), "99 reference nuclei"),
        (measured(dataset="t" * 64), "trained on"),
    ],
)
def test_floors_and_sizes_hold_for_the_first_model_too(candidate, text):
    verdict = judge(candidate, None, card=CARD)

    assert not verdict.passed
    assert text in str(verdict)


@pytest.mark.parametrize(
    ("other", "text"),
    [(measured(dataset="x" * 64), "on set"), (measured(settings="x" * 64), "other settings")],
)
def test_scores_of_another_set_or_other_settings_do_not_compare(other, text):
    verdict = judge(measured(), other, card=CARD)

    assert not verdict.passed
    assert text in str(verdict)
    assert "do not compare" in str(verdict)


def test_another_set_than_the_fixed_one_is_refused():
    policy = PromotionPolicy(validation_digest="x" * 64)

    assert "fixed validation set" in str(judge(measured(), None, card=CARD, policy=policy))


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([{"name": "PanNuke", "licence": "CC-BY-NC-SA-4.0"}], "'PanNuke' have the licence"),
        ([*CARD["labels"], {"name": "X", "licence": "unknown"}], "'X'"),
        ([], "names no labels"),
    ],
)
def test_forbidden_or_unknown_licence_is_refused(labels, text):
    verdict = judge(measured(), None, card={"labels": labels})

    assert not verdict.passed
    assert text in str(verdict)


def test_licence_of_labels_that_an_ancestor_learned_from_binds_too():
    """A child of a non-commercial model names its own free labels, and must not pass."""
    inherited = {"name": "PanNuke", "licence": "CC-BY-NC-SA-4.0"}
    of_catalogue = Ancestry((LabelUse("CoNSeP", "CC-BY-NC-4.0", is_inherited=True),))

    on_card = judge(measured(), None, card=CARD | {"inherited": [inherited]})
    in_catalogue = judge(measured(), None, card=CARD, ancestry=of_catalogue)

    assert "'PanNuke', which it inherited, have the licence 'CC-BY-NC-SA-4.0'" in str(on_card)
    assert "'CoNSeP', which it inherited" in str(in_catalogue)
    assert not on_card.passed
    assert not in_catalogue.passed


def test_card_that_is_silent_about_an_unknown_parent_is_refused():
    unknown = Ancestry(unknown=("f" * 64,))

    assert "does not know ffffffffff" in str(judge(measured(), None, card=CARD, ancestry=unknown))
    said = CARD | {"inherited": []}
    assert judge(measured(), None, card=said, ancestry=unknown).passed


def test_licences_that_hold_together_are_each_judged():
    def passes(licence):
        return judge(measured(), None, card={"labels": [{"name": "a", "licence": licence}]}).passed

    assert passes("CC-BY-4.0 and BSD-3-Clause")
    assert passes("CC0-1.0, CC-BY-4.0")
    assert not passes("CC-BY-4.0 and CC-BY-NC-4.0")


def test_licences_may_be_spelt_with_blanks_and_own_ones_allowed():
    card = {"labels": [{"name": "a", "licence": "cc by 4.0"}, {"name": "b", "licence": "our lab"}]}
    policy = PromotionPolicy(allowed_licences=("CC-BY-4.0", "Our Lab"))

    assert judge(measured(), None, card=card, policy=policy).passed


def test_policy_is_frozen_and_refuses_unknown_fields():
    with pytest.raises(ValidationError):
        PromotionPolicy().tolerance = 1
    with pytest.raises(ValidationError):
        PromotionPolicy(min_precision=1)
    with pytest.raises(ValidationError):
        judge(measured(), None, card=CARD).passed = True
