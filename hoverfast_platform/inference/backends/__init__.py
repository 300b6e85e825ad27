"""Computing a model's maps on a device: the protocol, the devices, and one module per backend.

Imports nothing by itself: a module is imported by its full name.
"""
