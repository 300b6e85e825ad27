"""HV maps, both directions side by side: ``encode`` (training) and ``decode`` (inference)."""
