"""The values of descent: models, and the labels, training sets and models they come from."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelUse:
    """Labels that a model learned from.

    Attributes:
        name: Name of the label set.
        licence: SPDX identifier, or the words of the source.
        citation: Paper or record to cite.
        n_images: How many images were used; 0 where nobody counted.
        n_nuclei: How many nuclei were used; 0 where nobody counted.
        is_inherited: Whether an ancestor learned from them, and not the model itself.
    """

    name: str
    licence: str
    citation: str = ""
    n_images: int = 0
    n_nuclei: int = 0
    is_inherited: bool = False


@dataclass(frozen=True)
class ModelRecord:
    """A model version, known by the bytes of its weights, and what it descends from.

    Attributes:
        sha256: Digest of the weights file.
        name: Name on its card.
        version: Version on its card; where another model has the same name and version, the
            catalogue adds the digest's start.
        path: Where the weights file is; empty if only results mention the model.
        card: Everything on the card.
        labels: Label sets it learned from, itself or through its ancestors.
        training_sets: Digests of the sets it was trained on.
        cohort: Name and version of the cohort they were made from, ``breast v2``.
        parents: Digests of the models its weights come from.
        teachers: Digests of the models that made its labels, or whose maps it was taught.
    """

    sha256: str
    name: str
    version: str
    path: str
    card: dict[str, Any]
    labels: tuple[LabelUse, ...] = ()
    training_sets: tuple[str, ...] = ()
    cohort: str = ""
    parents: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ancestor:
    """A model that another one descends from.

    Attributes:
        sha256: Digest of its weights.
        name: Its name; empty where only its digest is known.
        version: Its version; empty where only its digest is known.
        how: ``parent`` or ``teacher``.
        n_steps: How many steps lie between the two.
    """

    sha256: str
    name: str
    version: str
    how: str
    n_steps: int


@dataclass(frozen=True)
class Ancestry:
    """What a model descends from, as far as the catalogue knows.

    Attributes:
        labels: Label sets of the model and of all its ancestors.
        unknown: Digests of ancestors of which nothing but the digest is known.
        withdrawn: What was withdrawn since of labels and ancestors, in words.
    """

    labels: tuple[LabelUse, ...] = ()
    unknown: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingSetRecord:
    """Images with labels that models learn from.

    Attributes:
        digest: Digest of its content.
        name: Name of its file, without the ending.
        path: Its file.
        teacher: What made the labels.
        cohort: Name and version of its cohort, ``breast v2``; empty where it has none.
        labels: Label sets it holds labels of.
    """

    digest: str
    name: str
    path: str
    teacher: str
    cohort: str = ""
    labels: tuple[LabelUse, ...] = ()


@dataclass(frozen=True)
class Reached:
    """One thing that a withdrawal reaches: the subject itself, or something that was made of it.

    Attributes:
        kind: ``slide``, ``mask``, ``result``, ``labels``, ``training set``, ``report``, ``model``.
        what: Its name, for people.
        path: Its file or folder; None where it has none, or where the platform must not remove it.
        slide_id: Row of the slide that it was made of.
        label_set_id: Row of the label set that it is.
        training_set_id: Row of the training set that it is.
        model_version_id: Row of the model that it is.
        model_sha256: Digest of that model.
    """

    kind: str
    what: str
    path: str | None
    slide_id: int | None = None
    label_set_id: int | None = None
    training_set_id: int | None = None
    model_version_id: int | None = None
    model_sha256: str = ""


@dataclass(frozen=True)
class WithdrawalRecord:
    """A withdrawal that was carried out.

    Attributes:
        kind: ``slide``, ``labels`` or ``patient``.
        subject: Name of the slide, label set or patient.
        reason: Why, in words.
        at: When it was carried out, UTC.
        n_reached: How many things it reached.
        n_removed: How many of their files were removed.
    """

    kind: str
    subject: str
    reason: str
    at: datetime.datetime
    n_reached: int
    n_removed: int
