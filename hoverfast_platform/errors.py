"""Every error the engine raises on purpose.

The tree::

    HoverFastError
    ├── SettingsError            (ValueError)    a setting or argument that cannot work
    │   └── ArrayContractError   (ValueError)    an array of the wrong shape, dtype or range
    ├── SlideError                               something is wrong with one slide
    │   ├── UnreadableSlideError (OSError)       cannot be opened, or a region cannot be read
    │   │   ├── AbsentSlideError                 its file is not where it was
    │   │   ├── IncompleteSlideError             files or bytes of it are missing
    │   │   └── ChangedSlideError                its bytes changed while it was segmented
    │   ├── MissingMppError      (ValueError)    no mpp in the file and no override
    │   └── UnsupportedScaleError(ValueError)    an mpp that is absurd or too coarse for the model
    ├── MaskError                (ValueError)    a tissue mask that does not belong to the slide
    ├── RegionError              (ValueError)    regions that do not belong to the slide
    ├── LabelError               (ValueError)    labelled images that cannot be used
    ├── CheckpointError          (ValueError)    model file corrupt, or of another architecture
    ├── StorageError             (OSError)       results cannot be written, or were damaged
    │   ├── SharedStoreUnavailableError          the shared store does not answer just now
    │   └── ShareUnavailableError                a network share failed, or a disk
    ├── ComputeError             (RuntimeError)  a worker died, a device failed, memory ran out
    ├── ReviewConflictError      (RuntimeError)  two people corrected the same nucleus
    ├── TrainingError            (RuntimeError)  labels or optimisation that cannot go on
    └── CatalogueError           (RuntimeError)  the metadata database refused or disagrees
        └── CatalogueUnavailableError            it cannot be reached or written just now

    Interrupted           (KeyboardInterrupt)    a signal ended the work: not a defect of anything

A text says what was expected, what came, the usual cause; ``remedy`` says what to do.
``kind`` goes to the catalogue and the Dagster UI, so it never changes for an error once
released. ``is_transient`` tells a scheduler whether trying again unchanged can help.
"""

from __future__ import annotations

from typing import ClassVar

from hoverfast_platform.texts import clean


class HoverFastError(Exception):
    """Base of all errors raised on purpose; carries a remedy for the person who reads it."""

    kind: ClassVar[str] = "error"
    is_transient: ClassVar[bool] = False

    def __init__(self, message: str, remedy: str = "") -> None:
        message, remedy = clean(message), clean(remedy)
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class SettingsError(HoverFastError, ValueError):
    """A setting or an argument that cannot work, alone or together with others."""

    kind = "wrong_setting"


class ArrayContractError(SettingsError):
    """An array whose shape, dtype or range is not what the function's docstring asks for."""

    kind = "wrong_array"


class SlideError(HoverFastError):
    """Something is wrong with one slide; other slides are unaffected."""

    kind = "slide"


class UnreadableSlideError(SlideError, OSError):
    """A slide that cannot be opened, or of which a region cannot be read."""

    kind = "unreadable_slide"


class AbsentSlideError(UnreadableSlideError):
    """A slide whose file is not where it was: moved, removed, or its folder is not mounted.

    Not transient: a folder that is away is away for longer than a step would wait. The platform
    looks for the file and asks again once it is back.
    """

    kind = "absent_slide"


class IncompleteSlideError(UnreadableSlideError):
    """A slide of which files or bytes are missing, usually because a copy is not finished."""

    kind = "incomplete_slide"


class ChangedSlideError(UnreadableSlideError):
    """A slide whose bytes changed while it was segmented, so that no result is true of it."""

    kind = "changed_slide"


class MissingMppError(SlideError, ValueError):
    """A slide without micrometres per pixel; it is never guessed."""

    kind = "missing_mpp"


class UnsupportedScaleError(SlideError, ValueError):
    """A slide whose mpp is absurd, or too coarse for the model."""

    kind = "unsupported_scale"


class MaskError(HoverFastError, ValueError):
    """A tissue mask that is missing, unreadable, or belongs to another slide."""

    kind = "wrong_mask"


class RegionError(HoverFastError, ValueError):
    """Regions that are missing, unreadable, empty, or do not lie on the slide."""

    kind = "wrong_regions"


class LabelError(HoverFastError, ValueError):
    """Labelled images that are missing, unreadable, unpaired, of other size, or without nuclei."""

    kind = "wrong_labels"


class CheckpointError(HoverFastError, ValueError):
    """A model file that is corrupt, unsafe to load, or of another architecture."""

    kind = "wrong_checkpoint"


class StorageError(HoverFastError, OSError):
    """A file that could not be written, or that is not what was written."""

    kind = "storage"


class SharedStoreUnavailableError(StorageError):
    """The object store that machines share cannot be reached just now."""

    kind = "shared_store_unavailable"
    is_transient = True


class ShareUnavailableError(StorageError):
    """A file system failed, not a file: usually a network share that did not answer in time."""

    kind = "share_unavailable"
    is_transient = True


class ComputeError(HoverFastError, RuntimeError):
    """A worker process died, a device failed, or memory ran out."""

    kind = "compute"
    is_transient = True


class ReviewConflictError(HoverFastError, RuntimeError):
    """A correction of something that another person changed meanwhile; nothing was written."""

    kind = "review_conflict"


class TrainingError(HoverFastError, RuntimeError):
    """Labels from which nothing can be learned, or an optimisation that cannot go on."""

    kind = "training"


class CatalogueError(HoverFastError, RuntimeError):
    """The metadata database is missing, locked, or of another version."""

    kind = "catalogue"


class CatalogueUnavailableError(CatalogueError):
    """The metadata database cannot be reached or written just now."""

    kind = "catalogue_unavailable"
    is_transient = True


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or a terminal that went away ended the work; finished tile blocks are kept.

    It is raised wherever the signal finds the program. Not an ``Exception``: libraries take those
    for failures of their own work, and go on.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{clean(message)} {clean(remedy)}".strip())
