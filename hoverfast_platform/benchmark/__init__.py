"""How fast, in how much memory: whole processes measured on slides anybody can make again.

Nothing here decides what the engine does; ``hoverfast bench`` is its only user.
"""
