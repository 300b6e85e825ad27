# %% [markdown]
# # Segment a folder and plot densities
#
# Two slides go in, and a picture of how dense their nuclei are comes out. The slides are
# synthetic, so that you can run this anywhere; put your own files into `slides/` instead.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

import hoverfast_platform as hf
from hoverfast_platform.synthetic import write_synthetic_slide

folder = Path("slides")
folder.mkdir(exist_ok=True)
write_synthetic_slide(folder / "a.tiff", width_px=800, height_px=500, seed=1)
write_synthetic_slide(folder / "b.tiff", width_px=700, height_px=600, seed=2, tissue_fraction=0.3)

# %% [markdown]
# One engine holds the model, and one catalogue records what is made. A slide that fails does not
# stop the others: each outcome has a product or an error.

# %%
with (
    hf.Catalogue.open(Path("results/catalogue.sqlite")) as catalogue,
    hf.SegmentationEngine.of("cross-organ", hf.Compute(device="cpu", n_workers=1)) as engine,
):
    outcomes = list(
        hf.segment_slides(
            sorted(folder.glob("*.tiff")), Path("results"), engine=engine, catalogue=catalogue
        )
    )

for outcome in outcomes:
    if outcome.product is None:
        print(outcome.item.name, "failed:", outcome.failure_text)
    else:
        summary = outcome.product.summary
        print(
            f"{outcome.item.name}: {summary.n_nuclei} nuclei, {summary.nuclei_per_mm2:.0f} per mm2"
        )

# %% [markdown]
# The table of a slide holds the centre of every nucleus in pixels of the slide. The slide's scale
# turns them into micrometres.

# %%
done = [outcome.product for outcome in outcomes if outcome.product is not None]
figure, axes = plt.subplots(1, len(done), figsize=(9, 3.5), layout="constrained")
for axis, product in zip(axes, done, strict=True):
    nuclei = hf.read_nuclei_table(product.table_path)
    mpp = product.summary.provenance.slide.mpp
    x_um, y_um = nuclei.centroid_xy[:, 0] * mpp.x, nuclei.centroid_xy[:, 1] * mpp.y
    drawn = axis.hexbin(x_um, y_um, gridsize=8, cmap="magma")
    axis.set(title=product.slide_info.name, xlabel="um", ylabel="um", aspect="equal")
    axis.invert_yaxis()
    figure.colorbar(drawn, ax=axis, label="nuclei")
figure.savefig("densities.png")
