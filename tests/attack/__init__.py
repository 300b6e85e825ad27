"""Attacks: kills at every step, hostile inputs, several at once; `make test-attack`."""
