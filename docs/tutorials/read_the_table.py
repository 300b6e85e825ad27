# %% [markdown]
# # Read the table with geopandas
#
# A result's `.parquet` is GeoParquet: geopandas, QGIS, R and DuckDB read it as it is. Run [the
# first tutorial](tutorial-segment-a-folder.md) before, in the same folder.

# %%
from pathlib import Path

import geopandas

table = geopandas.read_parquet(Path("results/a.parquet"))
print(table[["centroid_x", "centroid_y", "area_um2", "eccentricity", "confidence"]].head())

# %% [markdown]
# Outlines are polygons in level-0 pixels of the slide, and measurements are in micrometres. The
# scale is in the summary beside the table.

# %%
import json  # noqa: E402

summary = json.loads(Path("results/a.summary.json").read_text())
mpp = summary["provenance"]["slide"]["mpp_x"]
area_of_outlines = table.geometry.area * mpp**2
print("outlines against pixels:", (area_of_outlines / table["area_um2"]).median().round(2))
assert table.geometry.is_valid.all()
assert 0.8 < (area_of_outlines / table["area_um2"]).median() < 1.2

# %% [markdown]
# Large, round nuclei of which the model is sure, and how many neighbours each has within 20 um:

# %%
chosen = table[
    (table["area_um2"] > 30) & (table["eccentricity"] < 0.8) & (table["confidence"] > 0.7)
]
around = geopandas.GeoDataFrame(geometry=chosen.centroid.buffer(20 / mpp))
neighbours = geopandas.sjoin(around, table.set_geometry(table.centroid)[["geometry"]])
n_neighbours = neighbours.groupby(level=0).size() - 1
print(f"{len(chosen)} of {len(table)} nuclei, {n_neighbours.mean():.1f} neighbours each")
chosen.drop(columns="geometry").to_csv("chosen.csv", index=False)
