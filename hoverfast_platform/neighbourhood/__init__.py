"""How nuclei lie among each other: ``measure`` measures, ``neighbour_table`` keeps it."""
