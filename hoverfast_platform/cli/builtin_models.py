"""The models that ship with the platform, as a table for people who choose one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hoverfast_platform.cli.json_text import json_text
from hoverfast_platform.cli.say import say
from hoverfast_platform.model.card import Metrics, ModelCard


def list_builtin(*, as_json: bool, benches: Sequence[Path] = ()) -> None:
    """Print what ships: a table to choose by, then what is known about each model; or JSON.

    Args:
        as_json: Whether to print JSON.
        benches: Records of ``hoverfast bench``, whose speeds are shown beside the models.
    """
    from hoverfast_platform.benchmark.recorded_speed import read_speed
    from hoverfast_platform.model.registry import DEFAULT_MODEL, available_models

    models = available_models()
    speeds = {speed.model: speed for speed in map(read_speed, benches)}
    if as_json:
        say(
            json_text(
                [
                    {
                        **card.model_dump(mode="json"),
                        "is_default": name == DEFAULT_MODEL,
                        "measured": asdict(speeds[name]) if name in speeds else None,
                    }
                    for name, card in models.items()
                ]
            )
        )
        return
    width = max(len(name) for name in models)
    say(f"{'model':{width}}  um/px  GMAC/mm2  CPU s/mm2  AJI    choose it")
    for name, card in models.items():
        aji = f"{card.metrics[0].aji:.3f}" if card.metrics else "    -"
        choose = card.choose_when + (" This is the default." if name == DEFAULT_MODEL else "")
        cpu = f"{speeds[name].cpu_s_per_mm2:.1f}" if name in speeds else "-"
        say(
            f"{name:{width}}  {card.mpp:5.2f}  {_gmac_per_mm2(card):8,.0f}  {cpu:>9}  {aji}  "
            f"{choose.strip()}"
        )
    for speed in speeds.values():
        say(f"CPU s/mm2: {speed.model} on {speed.processor}, start of the program included.")
    if not speeds:
        say("CPU s/mm2: not measured; `hoverfast bench -m MODEL -o FOLDER --tiles TILES`, then")
        say("`hoverfast models --bench FOLDER`.")
    say(
        "GMAC/mm2: billions of multiplications of the network for a square millimetre of tissue; "
        "time goes with it. AJI: on the first set named below."
    )
    for name, card in models.items():
        say("")
        _describe(name, card)


def _gmac_per_mm2(card: ModelCard) -> float:
    pixels_per_mm2 = (1000 / card.mpp) ** 2
    return card.architecture.multiplications_per_px() * pixels_per_mm2 / 1e9


def _describe(name: str, card: ModelCard) -> None:
    from hoverfast_platform.model.builtin_digests import BUILTIN_DIR
    from hoverfast_platform.model.quantised import find_int8

    say(f"{name} {card.version}: {card.stain} at {card.mpp} um/px, licence {card.licence}")
    say(f"  {card.description} {card.intended_use}")
    for measured in card.metrics:
        say(f"  {measured.dataset}: {_scores(measured)}")
    if (int8 := find_int8(BUILTIN_DIR / f"{name}.safetensors")) is not None:
        for arithmetic, check in int8.card.checks.items():
            say(
                f"  int8 on CPUs with {arithmetic.upper()}: Dice {check.dice_between:.4f} against "
                f"fp32, AJI {check.aji_int8:.3f} against {check.aji_fp32:.3f}"
                + ("" if int8.agrees_on(arithmetic) else "; not used there")
            )


def _scores(measured: Metrics) -> str:
    return ", ".join(
        f"{label} {value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
        for label, value, interval in (
            ("Dice", measured.dice, measured.dice_interval),
            ("AJI", measured.aji, measured.aji_interval),
            ("PQ", measured.pq, measured.pq_interval),
        )
    )
