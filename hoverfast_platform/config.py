"""Frozen settings of the steps from slide to nuclei, one model per step.

Declared once: the command line reads defaults and texts from here, the Dagster launchpad
inherits from here. Each field says what turning it does. Settings of training live with
training. What a setting changes in the *nuclei* belongs in :class:`SegmentationSettings`
and so in the segmentation's identity; what changes only speed belongs in :class:`Compute`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from hoverfast_platform.files import text_sha256


class Settings(BaseModel):
    """Base of all settings: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FileRecord(Settings):
    """Base of what a file of ours says of itself, with the version of the file's form."""

    newest_form: ClassVar[int] = 1
    """Raise where an older program could not read what is written, or would misread it."""

    schema_version: int = Field(default=1, ge=1)
    """Version of the file's form. A form newer than the program is refused."""

    @model_validator(mode="before")
    @classmethod
    def _is_not_newer(cls, record: object) -> object:
        form = record.get("schema_version", 1) if isinstance(record, dict) else 1
        if isinstance(form, int) and form > cls.newest_form:
            raise ValueError(
                f"it was made by a newer version of hoverfast_platform: its form is {form}, this "
                f"version reads up to {cls.newest_form}; update the program"
            )
        return record


_THREE_NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
"""A tuple's own schema has no ``items``, which readers of older JSON Schema expect."""

DensityRgb: TypeAlias = Annotated[tuple[float, float, float], WithJsonSchema(_THREE_NUMBERS)]
"""Natural-log optical density of red, green and blue: ``-ln((value + 1) / 256)``."""


class Appearance(Settings):
    """How bright and how strongly stained the images are that a network knows."""

    white_level: float | None = Field(default=None, gt=0, le=255)
    """Brightness of the brightest 1 % of pixels. Darker images are multiplied to it before
    anything else; brighter ones are left. None: the exposure stays as it is."""

    stain_density: DensityRgb | None = None
    """Mean optical density of tissue (natural log; red, green, blue). None: stains stay as they
    are."""

    @property
    def is_as_scanned(self) -> bool:
        """Whether images are shown as they are."""
        return self.white_level is None and self.stain_density is None


class Scale(Settings):
    """How a slide's pixels are brought to the model's mpp."""

    mpp_override: float | None = Field(default=None, gt=0.02, lt=50)
    """Micrometres per level-0 pixel, used instead of the file's own and recorded as override.

    For slides whose file has none, or a wrong one. A factor of two here is a factor of four
    in every area.
    """

    max_upsampling: float = Field(default=2.2, ge=1)
    """Coarsest slide accepted, as a multiple of the model's mpp.

    The default lets 20x slides (0.5 mpp) through a 40x model (0.25 mpp), with a recorded
    warning. Higher values accept slides in which nuclei are a few pixels wide.
    """


FindingAction: TypeAlias = Literal["remove", "remark", "off"]
"""``remove``: no nuclei are looked for there. ``remark``: shown and counted, but kept."""

PenColour: TypeAlias = Literal["green", "blue", "black", "red"]


class ArtefactDetection(Settings):
    """What the built-in engine counts as artefact, and what it does about it."""

    pen: FindingAction = "remove"
    """Ink of markers."""

    pen_colours: tuple[PenColour, ...] = ("green", "blue", "black", "red")
    """Colours looked for. Leave out ``green`` and ``blue`` for slides with teal or blue
    counterstain, ``red`` for slides stained very red."""

    min_pen_area_um2: float = Field(default=6_400, ge=0)
    """Coloured spots smaller than this are not taken for strokes. Lower finds dots, and dyes at
    tissue margins."""

    pen_margin_um: float = Field(default=16, ge=0, le=500)
    """How far around a stroke its faded rim is taken along."""

    blur: FindingAction = "remove"
    """Tissue out of focus."""

    min_sharpness: float = Field(default=1.5, gt=0, lt=10)
    """Lowest ratio of fine to coarse texture of tissue in focus.

    Sharp slides have 2.6 to 3.5; a Gaussian blur of 2, 3, 4, 6 um leaves 2.0, 1.4, 1.0, 0.6.
    Higher removes slightly soft tissue too, and rims of pieces with it.
    """

    min_blur_area_um2: float = Field(default=20_000, ge=0)
    """Blurred spots smaller than this are kept: a smooth vessel wall is not a defect."""

    fold_dark: FindingAction = "remove"
    """Folds, and what is too dark to see nuclei in."""

    fold_density_ratio: float = Field(default=1.8, gt=1, lt=10)
    """How many times denser than tissue of its hue on the same slide a fold is.

    Lower finds thinner folds, and takes crowded nuclei and thick keratin for folds.
    """

    max_optical_density: float = Field(default=0.9, gt=0.1, le=3)
    """Mean optical density from which tissue is too dark whatever its hue."""

    min_fold_area_um2: float = Field(default=10_000, ge=0)
    """Folds and dark spots smaller than this are kept."""

    bubble: FindingAction = "remark"
    """Round bubbles of air with a grey rim, and films that reach onto glass."""

    min_bubble_rim: float = Field(default=0.6, gt=0, le=1)
    """Share of a circle that has to be a thin grey line for it to be a bubble. Lower finds
    bubbles with broken rims, and takes bent hairs for bubbles."""

    min_film_area_um2: float = Field(default=100_000, ge=0)
    """Films on glass smaller than this are not looked at."""

    fat: FindingAction = "remark"
    """Fields of empty fat cells. Whether fat belongs to a study is not for the platform to say."""

    min_fat_area_um2: float = Field(default=100_000, ge=0)
    """Fields smaller than this are not called fat."""


class TissueDetection(Settings):
    """What the built-in mask counts as tissue. Lengths and areas are physical."""

    mpp: float = Field(default=8.0, gt=0.5, le=32)
    """Resolution of the mask. Finer follows the tissue's edge closer and costs more memory."""

    min_optical_density: float = Field(default=0.03, gt=0, lt=1)
    """Lowest mean optical density of tissue above the slide's own background.

    Lower keeps paler tissue (fat, mucin, necrosis) and more dirt.
    """

    min_tissue_area_um2: float = Field(default=2_000, ge=0)
    """Pieces of tissue smaller than this are dirt and are dropped."""

    min_colourfulness: float = Field(default=0.2, ge=0, lt=1)
    """Pieces less colourful than this are dust, hairs or pencil: spread of the channels' optical
    densities, relative to their mean, at most of a piece's pixels. H&E has 0.5 and more. Without
    effect where most of a slide is grey; 0 keeps all."""

    max_hole_area_um2: float = Field(default=20_000, ge=0)
    """Holes smaller than this are filled: lumina, fat cells, tears."""

    dilation_um: float = Field(default=16, ge=0)
    """How far the mask grows beyond the detected tissue, so that its rim is kept."""

    artefacts: ArtefactDetection = ArtefactDetection()
    """What is taken away from the tissue again."""


class MaskImport(Settings):
    """What a mask image of another program does not say of itself."""

    frame: Literal["auto", "full", "bounds"] = "auto"
    """What it shows: the whole slide, or the scanned bounds that some formats declare.

    ``auto`` goes by its shape and by HistoQC's results; where both fit it is refused.
    """

    tissue_levels: tuple[int, ...] = ()
    """Grey levels, or indices of a colour table, that are usable tissue, for class maps. Without
    it: above half grey, or 1 where the levels are 0 and 1; colours and what is not transparent."""

    allow_empty: bool = False
    """Whether a mask without tissue is taken, and the slide has zero nuclei."""

    is_right: bool = False
    """Whether a mask is taken that looks inverted: what it calls tissue is glass on the slide,
    and what it leaves out is tissue. Without it such a mask is refused."""


class HistoQc(Settings):
    """How an installed HistoQC is called."""

    command: tuple[str, ...] = ("histoqc",)
    """The program, or a container's line that ends in it. ``{scratch}`` and ``{slide_dir}``
    stand for the folders it has to see. Its last word plus ``.config`` prints templates."""

    config: str = "v2.1"
    """A shipped template (``default``, ``v2.1``, ``light``, ``first``, ...) or a file."""

    repair_templates: bool = True
    """Whether the three thresholds of a template that empty small slides are changed.

    As shipped, the blur step takes bland stroma away (96 and 28 % of two sharp slides), the area
    step every piece below 0.64 or 5.8 mm2, and ``default`` trains for minutes on every run. A
    file is taken as it is.
    """

    overrides: dict[str, str] = Field(default_factory=dict)
    """Further changes to the configuration: ``section/key`` to value."""

    seed: int = 123
    """Without one its classifiers give another mask every time."""

    timeout_s: float = Field(default=1800, gt=0)
    """After which it is ended, with all its processes."""

    version: str = ""
    """What is installed (HistoQC does not say): a commit or an image digest; recorded."""

    scratch_dir: str = ""
    """Where its working folder is made; empty takes the system's."""


class MaskSettings(Settings):
    """Which engine makes tissue masks, and its settings."""

    engine: Literal["builtin", "histoqc", "import"] = "builtin"
    """``builtin`` needs nothing; ``histoqc`` an installed HistoQC; ``import`` takes masks that
    are there."""

    builtin: TissueDetection = TissueDetection()
    histoqc: HistoQc = HistoQc()
    imported: MaskImport = MaskImport()

    import_from: str = ""
    """Folder or table of masks for ``import``."""

    regions_from: str = ""
    """GeoJSON of regions, one file or a folder with a file for each slide, named after it: only
    tissue in them is usable. Empty takes all tissue."""


class Tiling(Settings):
    """How the slide is cut for prediction, in pixels at the model's mpp."""

    tile_size_px: int = Field(default=1024, ge=128, le=8192, multiple_of=4)
    """Side of a tile. Larger wastes less on margins and needs more memory; the nuclei are
    the same."""

    margin_px: int | None = Field(default=None, ge=64, le=512)
    """Context read around each tile, at least.

    null takes what the model's network needs: how far it sees, 66 px for HoverFast, and 30 px
    for a nucleus that a tile owns to reach into its neighbour. With less, large nuclei on seams
    may be cut.
    """


class InstanceDecoding(Settings):
    """How the foreground is split into nuclei, in pixels at the model's mpp."""

    foreground_threshold: float = Field(default=0.45, gt=0, lt=1)
    """Lowest foreground probability of a nuclear pixel. Lower finds paler, larger nuclei. Below
    one half, since on tissue unlike what it learned from a network is too sure of nothing."""

    border_steepness: float = Field(default=0.05, gt=0, lt=1)
    """Fall of the HV maps, as a share of the steepest possible, from which a pixel is border.

    Lower cuts more: clumps come apart, but lobed nuclei break too.
    """

    min_marker_area_px: int = Field(default=10, ge=1)
    """Smallest seed kept. Higher merges over-split nuclei and loses small ones in clumps."""

    min_nucleus_area_um2: float = Field(default=5.0, ge=0)
    """Nuclei smaller than this are dropped as debris (a small lymphocyte has about 20)."""


class Outlines(Settings):
    """How polygons follow the pixels."""

    simplification_permille: float = Field(default=6.0, ge=0, le=100)
    """How far a polygon may leave the outline, in thousandths of the outline's length.

    The default is 0.4 model pixels for a nucleus of 20 px, below what the eye sees, and leaves
    a third of the vertices. 0 keeps every corner.
    """


Stain = Literal["he", "ihc_dab"]
"""``he``: hematoxylin and eosin. ``ihc_dab``: hematoxylin and a nuclear antibody in DAB."""


class Staining(Settings):
    """What the slide is stained with, and what counts as positive."""

    stain: Stain = "he"
    """``ihc_dab`` finds nuclei whether blue or brown and measures DAB instead of eosin."""

    dab_weak_od: float = Field(default=0.2, gt=0, lt=3)
    """Mean DAB optical density from which a nucleus is positive (1+)."""

    dab_moderate_od: float = Field(default=0.4, gt=0, lt=3)
    """From which it is moderately positive (2+)."""

    dab_strong_od: float = Field(default=0.6, gt=0, lt=3)
    """From which it is strongly positive (3+). The three defaults are QuPath's."""

    @model_validator(mode="after")
    def _thresholds_ascend(self) -> Self:
        if not self.dab_weak_od < self.dab_moderate_od < self.dab_strong_od:
            raise ValueError(
                f"thresholds of DAB must ascend, got {self.dab_weak_od}, "
                f"{self.dab_moderate_od}, {self.dab_strong_od}"
            )
        return self


class SegmentationSettings(Settings):
    """Everything besides slide, mask and model that decides which nuclei come out."""

    scale: Scale = Scale()
    tissue: TissueDetection = TissueDetection()
    tiling: Tiling = Tiling()
    decoding: InstanceDecoding = InstanceDecoding()
    outlines: Outlines = Outlines()
    staining: Staining = Staining()

    def digest(self) -> str:
        """SHA-256 of the canonical JSON form, hex."""
        return text_sha256(self.model_dump_json())


class Compute(Settings):
    """Where and how wide the work runs; only ``precision`` can move the edge of a nucleus."""

    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``; several GPUs as ``cuda:0,cuda:1`` or
    ``cuda:all``. ``auto`` takes the first GPU if there is one."""

    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"] = "auto"
    """Arithmetic of the network. ``auto``: half precision on a GPU; on a CPU int8 where the model
    has an int8 form that agrees on such CPUs, else bf16 where the CPU multiplies in it, else
    fp32. Part of the result's identity; give one to have equal results on unequal machines."""

    batch_size: int = Field(default=0, ge=0)
    """Regions handed to a device together; 0 takes as many as keep it busy. Nuclei do not depend
    on it."""

    compile: bool = False
    """Whether torch compiles the network: minutes at the start, for long runs on a GPU."""

    n_workers: int = Field(default=0, ge=0)
    """Post-processing processes; 0 takes what the available cores allow."""
