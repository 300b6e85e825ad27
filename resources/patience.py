"""How patiently sensors wait before they act."""

from __future__ import annotations

import dagster as dg


class Patience(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Times that a deployment sets."""

    quiet_s: float = 600.0
    """How long a cohort must stay as it is to be learned from."""
    lost_after_s: float = 120.0
    """Silence of a run after which its process is taken for gone; long enough for one that is only
    slow, or a clock that is off by a minute."""
