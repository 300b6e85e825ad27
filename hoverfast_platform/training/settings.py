"""What steers training. Part of a model's card, so that it can be made again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hoverfast_platform.config import Appearance, Settings
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.stain import ORDINARY_APPEARANCE


class Augmentation(Settings):
    """How training images are varied, so that a student sees more labs than its labels do."""

    max_scaling: float = Field(default=1.25, ge=1, le=2)
    """Size is varied between 1/this and this: mpp in slide files is off by some percent, and
    nuclei of other organs are smaller or larger."""

    hed_sigma: float = Field(default=0.25, ge=0, le=1)
    """Strength of each stain (hematoxylin, eosin, residual) is multiplied by 1 +- this."""

    hed_shift: float = Field(default=0.03, ge=0, le=0.5)
    """Optical density added to each stain, +- this: background that is not white."""

    copy_paste_probability: float = Field(default=0.0, ge=0, le=1)
    """How often nuclei of another crop are set down, so that they touch or overlap others."""

    contrast_probability: float = Field(default=0.0, ge=0, le=1)
    """How often nuclei are made paler, darker or vesicular and their surroundings more purple."""

    colour_probability: float = Field(default=0.5, ge=0, le=1)
    """How often hue, saturation, brightness and contrast are varied on top."""

    defocus_probability: float = Field(default=0.3, ge=0, le=1)
    """How often the image is blurred."""

    noise_probability: float = Field(default=0.3, ge=0, le=1)
    """How often noise or JPEG artefacts are added."""


class TrainingSettings(Settings):
    """Everything besides the data and the parent model that decides which student comes out."""

    n_steps: int = Field(default=20_000, ge=1)
    """Optimiser steps in all; the learning rate falls to nearly 0 at the last."""

    batch_size: int = Field(default=16, ge=1)
    """Crops per step. 4 trains well on a CPU."""

    crop_px: int = Field(default=256, ge=32, multiple_of=4)
    """Side of the crops. Smaller is faster, but the network sees 66 px to each side."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Largest learning rate, after the warm-up."""

    warmup_steps: int = Field(default=100, ge=0)
    """Steps in which the learning rate rises from 0."""

    weight_decay: float = Field(default=1e-4, ge=0)
    """Weight decay of AdamW, on convolution kernels only."""

    gradient_clip: float = Field(default=5.0, gt=0)
    """Longest gradient; longer ones are shortened to it."""

    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    """Decay of the moving average of the weights; this average is validated and kept."""

    hv_weight: float = Field(default=1.0, ge=0)
    """Weight of the mean squared error of the HV maps, as in HoVer-Net."""

    hv_gradient_weight: float = Field(default=1.0, ge=0)
    """Weight of the error of the HV maps' gradients inside nuclei, as in HoVer-Net."""

    nucleus_centred_share: float = Field(default=0.7, ge=0, le=1)
    """Share of crops that are centred on a nucleus; the rest lies anywhere. Higher shows more
    nuclei per step where tissue is sparse."""

    validate_every: int = Field(default=500, ge=1)
    """Steps between validations; each also writes a checkpoint."""

    keep: Literal["best", "last"] = "best"
    """``best`` keeps the student with the highest mean of Dice, AJI and PQ on the validation
    set; ``last`` the newest, for when that set must not choose."""

    patience: int = Field(default=0, ge=0)
    """Validations without improvement after which training stops early; 0 never does."""

    frozen_statistics: float = Field(default=0.5, ge=0, le=1)
    """Share of the steps, the last ones, in which batch norm uses fixed statistics of unvaried
    patches instead of each batch's own, as it will in inference.

    Statistics of varied, crowded crops are those of no slide; a student that never learned with
    the ones it is used with draws nuclei too small. 0 never fixes them.
    """

    appearance: Appearance = ORDINARY_APPEARANCE
    """Exposure and strength of stain that patches are brought to before they are varied, and
    slides before this student sees them."""

    architecture: Architecture = Architecture()
    """The shape of the student's network. A parent must have the same."""

    student_mpp: float | None = Field(default=None, gt=0)
    """Micrometres per pixel at which the student works, coarser than the patches are: they are
    reduced to it. null takes them as they are."""

    teacher_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the teacher's maps in what a student is taught on labelled patches, where a teacher
    is given; the rest are the labels. On unlabelled patches the teacher alone decides."""

    statistics_share: float = Field(default=0.0, ge=0, le=1)
    """Share of an image's or a slide's own batch-norm statistics when the student is validated
    and used. Training itself knows nothing of it; with a share leave ``frozen_statistics`` at 0.
    """

    seed: int = 0
    """Seed of the initial weights and of every crop."""

    precision: Literal["auto", "fp32", "amp"] = "auto"
    """``amp`` computes in half precision where safe; ``auto`` does so where that is faster: on
    CUDA and on CPUs that multiply in bfloat16."""

    n_loaders: int = Field(default=1, ge=0)
    """Processes that prepare crops; 0 prepares them between the steps. Changes speed only."""

    augmentation: Augmentation = Augmentation()
