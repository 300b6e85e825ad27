# %% [markdown]
# # Evaluate and compare two models
#
# Is a model good on your slides, and is another one better? You need images with labels that
# people drew. Here they are cut from synthetic slides, of which the truth is known.

# %%
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import hoverfast_platform as hf
from hoverfast_platform.synthetic import write_synthetic_slide

for kind in ("image", "label"):
    Path("labelled", kind).mkdir(parents=True, exist_ok=True)

rows = ["stem,group,mpp"]
for patient in (1, 2):
    path = Path(f"patient{patient}.tiff")
    truth = write_synthetic_slide(path, width_px=640, height_px=480, seed=10 + patient)
    label = np.zeros((480, 640), np.int32)
    for number, (centre, axes, angle) in enumerate(
        zip(truth.centroid_xy, truth.axes_px, truth.angle_deg, strict=True), start=1
    ):
        cv2.ellipse(label, (tuple(centre), tuple(2 * axes), angle), number, thickness=-1)
    with hf.open_slide(path) as slide:
        pixels = slide.read_level(0, hf.Box(x0=120, y0=100, x1=520, y1=380))
    Image.fromarray(pixels).save(f"labelled/image/p{patient}.png")
    np.save(f"labelled/label/p{patient}.npy", label[100:380, 120:520])
    rows.append(f"p{patient},patient-{patient},0.25")
Path("labelled/manifest.csv").write_text("\n".join(rows) + "\n")

# %% [markdown]
# `manifest.csv` says which patient an image is of, and its scale. The same images become a set
# that models can learn from; one patient is kept for judging.

# %%
made = hf.label(
    hf.LabellingRequest(
        name="mine",
        sources=(Path("labelled/image"),),
        outdir=Path("sets"),
        teacher="annotations",
        labels=Path("labelled/label"),
        licence="CC0-1.0",
        mpp=0.25,
        manifest=Path("labelled/manifest.csv"),
        sampling=hf.Sampling(tile_px=256, validation_fraction=0.5),
    )
)
print("to learn from:", made.training.path, "to judge on:", made.validation.path)

# %% [markdown]
# The second model is the first, adapted to the stain of the images; this needs no labels. Both
# are measured on the patient that neither saw.

# %%
hf.adapt_model("cross-organ", made.training.path, Path("adapted.safetensors"))
judged_on = hf.open_labelled_set(made.validation.path)
measured = list(
    hf.evaluate_models(
        ["cross-organ", "adapted.safetensors"], judged_on, Path("report"), device="cpu"
    )
)
for one in measured:
    scores = one.evaluation.summary().scores
    print(f"{one.name:12} Dice {scores.dice.mean:.3f}  AJI {scores.aji.mean:.3f}")

# %% [markdown]
# The comparison pairs the images: what counts is the difference on the same image.
# `report/comparison.html` shows it with pictures of where model and labels differ.

# %%
comparison = hf.compare_models(measured, Path("report"))
for name, difference in comparison.differences.items():
    print(f"{name} minus {comparison.first}: Dice {difference.dice.mean:+.3f}")
assert comparison.page_path.exists()
