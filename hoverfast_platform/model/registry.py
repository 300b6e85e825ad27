"""Finding models by name or path, and listing what ships with the platform. No torch here."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.errors import CheckpointError, SettingsError
from hoverfast_platform.files import file_sha256, read_settings_file
from hoverfast_platform.model.builtin_digests import BUILTIN_DIR, check_builtin
from hoverfast_platform.model.card import ModelCard

DEFAULT_MODEL = "cross-organ"
"""Used where no model is named; docs/models.md says what it learned from and what it gets wrong."""

_SAME_SCALE = 0.01
_AT_20X = "cross-organ-20x"
_FROM_UM_PER_PX, _TO_UM_PER_PX = 0.35, 0.7
"""Slides nearer to 20x (0.5 um per pixel) than to 40x and to 10x."""


def find_model(name_or_path: str | Path) -> Path:
    """Weights file of a built-in model's name, or of a path.

    Raises:
        CheckpointError: If there is no such name and no such file, or a built-in model's file
            is not the one that was released.
    """
    builtin = BUILTIN_DIR / f"{name_or_path}.safetensors"
    if builtin.is_file():
        check_builtin(builtin)
        return builtin
    path = Path(name_or_path)
    if path.is_file():
        return path
    names = ", ".join(sorted(available_models()))
    raise CheckpointError(
        f"There is no model named {str(name_or_path)!r}, and no such file.",
        f"Built-in models: {names}. Otherwise give the path of a .safetensors or .pth file.",
    )


def weights_digest(path: Path) -> str:
    """SHA-256 of a weights file's bytes, hex: what tells one model from another."""
    return file_sha256(path)


def available_models() -> dict[str, ModelCard]:
    """Cards of the models that ship with the platform, by name, the default one first."""
    names = sorted(path.stem for path in BUILTIN_DIR.glob("*.safetensors"))
    names.sort(key=lambda name: name != DEFAULT_MODEL)
    return {name: read_card(BUILTIN_DIR / f"{name}.json") for name in names}


def builtin_at(mpp: float) -> str:
    """The name of the model that ships for a scale; the default one, if it works there.

    Args:
        mpp: Micrometres per pixel at which the network works.

    Raises:
        SettingsError: If none does.
    """
    scales = {name: card.mpp for name, card in available_models().items()}
    names = [name for name, its in scales.items() if abs(mpp / its - 1) < _SAME_SCALE]
    if not names:
        raise SettingsError(
            f"No model that ships works at {mpp:g} um per pixel, magnification {10 / mpp:g}.",
            "Leave -l out, or ask for "
            + " or ".join(f"{10 / its:g}" for its in sorted({*scales.values()}, reverse=True))
            + ".",
        )
    return DEFAULT_MODEL if DEFAULT_MODEL in names else names[0]


def shipped_for(mpp: float | None) -> str:
    """The name of the model that ships for a slide's scale, where nobody names another.

    A slide nearer to 20x than to 40x has the model trained at 20x. Given images of 0.5 um per
    pixel it is closer to what people outlined than the default model is (docs/models.md), for a
    quarter of the work. Slides at 10x have the default model, which refuses them.

    Args:
        mpp: Micrometres per pixel of the slide at its finest; None where it is not known.
    """
    is_at_20x = mpp is not None and _FROM_UM_PER_PX < mpp < _TO_UM_PER_PX
    return _AT_20X if is_at_20x else DEFAULT_MODEL


def read_card(path: Path) -> ModelCard:
    """The card in a JSON file.

    Raises:
        CheckpointError: If it is not a model card.
    """
    return read_settings_file(
        path,
        ModelCard,
        what="a readable model card",
        remedy="A .safetensors model needs its .json card of the same name beside it.",
        raises=CheckpointError,
    )
