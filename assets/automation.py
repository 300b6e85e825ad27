"""When an asset of a slide is made by itself."""

from __future__ import annotations

import dagster as dg

_SWEEP = "*/30 * * * *"
"""How often slides are looked for that were missed: a run was cancelled, automation was off."""

_Condition = dg.AutomationCondition


def when_inputs_change() -> dg.AutomationCondition[dg.AssetKey]:
    """Make a slide's asset when the slide is new, or when an input's content changed.

    ``eager()`` would also react to an input that was made again with equal content. A slide
    that failed is left alone until its input changes or a person asks for it.
    """
    new_content = _Condition.any_deps_match(
        (_Condition.data_version_changed() & ~_Condition.executed_with_root_target())
        | _Condition.will_be_requested()
    ).with_label("an input's content changed")
    is_new_or_changed = (
        (_Condition.newly_missing() | new_content)
        .since(
            _Condition.newly_requested()
            | _Condition.newly_updated()
            | _Condition.initial_evaluation()
        )
        .with_label("new or changed")
    )
    was_missed = (
        _Condition.cron_tick_passed(_SWEEP) & _Condition.missing() & ~_Condition.execution_failed()
    ).with_label("missed before")
    is_possible = (
        ~_Condition.any_deps_missing()
        & ~_Condition.any_deps_in_progress()
        & ~_Condition.in_progress()
    ).with_label("inputs are there, nothing is running")
    return ((is_new_or_changed | was_missed) & is_possible).with_label("when inputs change")
