"""The student network, its files, and the list of models that ship with the platform.

``card`` and ``registry`` import no torch, so that listing models is instant.
"""
