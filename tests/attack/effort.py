"""How much of an attack is carried out: all of it by `make test-attack`, a sample in CI."""

import os
from itertools import count

IS_FULL = os.environ.get("HOVERFAST_ATTACK") == "full"


def steps(sample_every):
    """Numbers of the steps before which to kill, until the attacker stops."""
    return count(1, 1 if IS_FULL else sample_every)
