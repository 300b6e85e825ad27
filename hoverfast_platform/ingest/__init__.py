"""Slides that arrive in folders: noticed, waited for, judged, registered. No Dagster here.

``units`` finds slides in a folder, ``completeness`` tells whether all of a slide is there,
``watch`` keeps the catalogue's list of watched files, ``register`` takes files that have
settled into the catalogue or into quarantine.
"""
