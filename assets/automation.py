"""When an asset of a slide or of a cohort is made by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True)
class Automation:
    """What runs by itself, and how patiently.

    Attributes:
        is_on: Whether sensors run unless switched off in the UI; else the reverse.
        quiet_s: How long a cohort must stay as it is to be learned from.
        resegments: Whether slides are segmented again after a promotion.
        lost_after_s: Silence of a run after which its process is taken for gone; long enough
            for one that is only slow, or a clock that is off by a minute.
    """

    is_on: bool = False
    quiet_s: float = 600.0
    resegments: bool = False
    lost_after_s: float = 120.0

    @property
    def status(self) -> dg.DefaultSensorStatus:
        """The state of sensors that nobody has switched in the UI."""
        return _status(self.is_on)

    @property
    def resegment_status(self) -> dg.DefaultSensorStatus:
        return _status(self.is_on and self.resegments)

    @property
    def schedule_status(self) -> dg.DefaultScheduleStatus:
        """The state of schedules that nobody has switched in the UI."""
        on, off = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED
        return on if self.is_on else off


def _status(is_on: bool) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED


_SWEEP = "*/30 * * * *"
"""How often slides are looked for that were missed, such as after a cancelled run; also once
when the automation is switched on for the first time."""

_Condition = dg.AutomationCondition


def when_inputs_change(
    *,
    sweeps: bool = True,
    patient_with: Sequence[dg.AssetKey] = (),
    waits_for: Sequence[dg.AssetKey] = (),
    only_shown: Sequence[dg.AssetKey] = (),
    held_back: bool = False,
) -> dg.AutomationCondition[dg.AssetKey]:
    """Make an asset's partition when it is new, or when an input's content changed.

    ``eager()`` would also react to an input that was made again with equal content. What
    failed is left alone until its input changes or a person asks for it.

    Args:
        sweeps: Also look for what was missed; not for what may be missing on purpose.
        patient_with: Inputs that all slides share, such as the model: where one changes,
            everything would be made again at once. What was made with the former one turns
            stale instead, and a person, or `resegment_slides`, has it made again.
        waits_for: Inputs that are often looked at again without another outcome: this asset is
            not made in the same run, but only once their content is another.
        only_shown: Inputs that are drawn for people and neither awaited nor reacted to, such as
            the list of all files for each slide of it.
        held_back: Whether an input whose blocking check failed holds this asset back.
    """
    patient, waited = list(patient_with), [*patient_with, *waits_for]
    changed = _Condition.data_version_changed() & ~_Condition.executed_with_root_target()
    new_content = (
        _Condition.any_deps_match(changed).ignore(dg.AssetSelection.assets(*patient))
        | _Condition.any_deps_match(_Condition.will_be_requested()).ignore(
            dg.AssetSelection.assets(*waited)
        )
    ).with_label("an input's content changed")
    asked: dg.AutomationCondition[dg.AssetKey] = (
        (_Condition.newly_missing() | new_content)
        .since(
            _Condition.newly_requested()
            | _Condition.newly_updated()
            | _Condition.initial_evaluation()
        )
        .with_label("new or changed")
    )
    if sweeps:
        was_missed = (
            (_Condition.cron_tick_passed(_SWEEP) | _Condition.initial_evaluation())
            & _Condition.missing()
            & ~_Condition.execution_failed()
        ).with_label("missed before")
        asked = (asked | was_missed).with_label("new, changed or missed before")
    is_possible = (
        ~_Condition.any_deps_missing()
        & ~_Condition.any_deps_in_progress()
        & ~_Condition.in_progress()
    ).with_label("inputs are there, nothing is running")
    if held_back:
        is_possible &= _Condition.all_deps_blocking_checks_passed()
    label = "when inputs change" + (", their blocking checks passed" if held_back else "")
    condition = (asked & is_possible).with_label(label)
    return condition.ignore(dg.AssetSelection.assets(*only_shown)) if only_shown else condition


def when_gate_passed(evaluation: dg.AssetKey) -> dg.AutomationCondition[dg.AssetKey]:
    """Make what an evaluation allows: once its content is another and its blocking check passed.

    Never in the run of the evaluation, where the check has no verdict yet; not swept up either,
    since it is missing on purpose while the check fails.
    """
    return when_inputs_change(sweeps=False, waits_for=[evaluation], held_back=True)


def when_settings_change() -> dg.AutomationCondition[dg.AssetKey]:
    """Make an asset of settings when it is missing, or when the component says something else.

    The component's attributes are part of the asset's code version, so a reload of the code
    location is enough.
    """
    asked = (
        _Condition.newly_missing()
        | _Condition.code_version_changed()
        | _Condition.cron_tick_passed(_SWEEP) & _Condition.missing()
        | _Condition.initial_evaluation() & _Condition.missing()
    )
    return (asked & ~_Condition.in_progress()).with_label("when settings change")
