"""DICOM: Microscopy Bulk Simple Annotations, one object for all nuclei of a slide.

It refers to the slide's own DICOM object where that is given, and shares its patient, study and
frame of reference. Of a slide that is not DICOM no such object exists: the UIDs it would have are
derived from the digest of the slide's bytes, the same each time, so that whoever converts the
slide to DICOM later can find the annotations.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.storage.exporters.exporter import Exporter, Need, NucleiSource
from hoverfast_platform.version import __version__

_ANNOTATION_SERIES = 900
_WHOLE_SLIDE_IMAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_OURS = "99HOVERFAST"
"""Designator of our own codes, for what no standard has a code."""
_STANDARD = {
    "area_um2": ("42798000", "SCT", "Area"),
    "perimeter_um": ("131191004", "SCT", "Perimeter"),
    "equivalent_diameter_um": ("81827009", "SCT", "Diameter"),
    "confidence": ("122157", "DCM", "Probability"),
    "orientation_deg": ("111354", "DCM", "Orientation"),
}
_UNITS = {"_um2": ("um2", "Square micrometer"), "_um": ("um", "Micrometer"), "_deg": ("deg", "°")}
_NO_UNIT = ("1", "no units")
_OFTEN_MISSING = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
"""What DICOM allows to be empty, and anonymised slides lack altogether."""


def _write(source: NucleiSource, path: Path, _per_piece: int) -> None:
    import highdicom

    provenance = Provenance.found_in(source.provenance, source.path.name)
    assert provenance is not None  # Need.PROVENANCE
    if not source.n_nuclei:
        raise SettingsError(
            f"{source.path.name} has no nuclei, and DICOM has no object without annotations.",
            "Keep the summary as the record that nothing was found.",
        )
    image = _image_of(source.slide, provenance)
    identity = provenance.segmentation_id
    with tempfile.TemporaryFile(dir=path.parent) as coordinates:
        group = _group(source, provenance, coordinates)
        annotations = highdicom.ann.MicroscopyBulkSimpleAnnotations(
            source_images=[image],
            annotation_coordinate_type="2D",
            annotation_groups=[group],
            series_instance_uid=_uid(identity, "series"),
            series_number=_ANNOTATION_SERIES,
            sop_instance_uid=_uid(identity, "annotations"),
            instance_number=1,
            manufacturer="hoverfast_platform",
            manufacturer_model_name="hoverfast_platform",
            software_versions=__version__,
            device_serial_number=identity,
            content_description="Nuclei",
            content_label="NUCLEI",
        )
        annotations.save_as(path, enforce_file_format=True)


def _group(source: NucleiSource, provenance: Provenance, coordinates: IO[bytes]) -> Any:
    """All nuclei as open polygons in pixels of the whole level 0, with their measurements.

    highdicom takes an array for each polygon, and holds all of them several times over: a million
    nuclei take 1.3 GiB. So it is given a triangle, and what is stored of all nuclei is put in its
    place; pydicom takes their coordinates from a file.

    Args:
        source: The nuclei.
        provenance: What they were made from.
        coordinates: A file for their coordinates, to be kept open until all is written.
    """
    import highdicom
    from pydicom.sr.coding import Code

    starts, columns = _gathered(source, provenance.slide.origin_px, coordinates)
    coordinates.seek(0)
    model = provenance.model
    group = highdicom.ann.AnnotationGroup(
        number=1,
        uid=_uid(provenance.segmentation_id, "nuclei"),
        label="Nuclei",
        annotated_property_category=Code("91723000", "SCT", "Anatomical Structure"),
        annotated_property_type=Code("84640000", "SCT", "Nucleus"),
        graphic_type="POLYGON",
        graphic_data=[np.eye(3, 2, dtype=np.float32)],
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=model.name,
            family=Code("123110", "DCM", "Artificial Intelligence"),
            version=model.version,
            source="hoverfast_platform",
            parameters={"sha256": model.sha256, "segmentation_id": provenance.segmentation_id},
        ),
    )
    group.NumberOfAnnotations = len(starts) - 1
    group.PointCoordinatesData = coordinates
    # Counted from 1, in numbers: every vertex has two.
    group.LongPrimitivePointIndexList = (2 * starts[:-1] + 1).astype("<i4").tobytes()
    group.MeasurementsSequence = [_measurement(name, values) for name, values in columns.items()]
    return group


def _gathered(
    source: NucleiSource, origin_px: tuple[int, int], coordinates: IO[bytes]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.float32]]]:
    """Where each open ring begins in the file of coordinates, and all measurements."""
    lengths = [np.zeros(1, np.int64)]
    columns: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in source.columns}
    for nuclei in source.blocks():
        is_last = np.zeros(len(nuclei.vertices_xy), np.bool_)
        is_last[nuclei.ring_starts[1:] - 1] = True  # it repeats the first
        coordinates.write((nuclei.vertices_xy[~is_last] + origin_px).astype("<f4").tobytes())
        lengths.append(np.diff(nuclei.ring_starts) - 1)
        for name, values in columns.items():
            values.append(nuclei.measurements[name])
    measured = {name: np.concatenate(values) for name, values in columns.items()}
    kept = {name: values for name, values in measured.items() if np.isfinite(values).any()}
    return np.cumsum(np.concatenate(lengths)), kept


def _measurement(column: str, values: npt.NDArray[np.float32]) -> Any:
    import highdicom
    from pydicom.sr.coding import Code

    meaning = next((m.qupath_name for m in MEASUREMENTS if m.column == column), column)
    name = _STANDARD.get(column, (column[:16], _OURS, meaning[:64]))
    unit, unit_meaning = next((u for end, u in _UNITS.items() if column.endswith(end)), _NO_UNIT)
    return highdicom.ann.Measurements(
        name=Code(*name), values=values, unit=Code(unit, "UCUM", unit_meaning)
    )


def _image_of(slide: Path | None, provenance: Provenance) -> Any:
    """The header of the slide's image in full resolution, or what stands for it."""
    import pydicom

    if slide is None:
        return _derived_image(provenance)
    paths = sorted(slide.parent.glob("*.dcm")) if slide.is_file() else sorted(slide.glob("*.dcm"))
    wanted = (provenance.slide.width_px, provenance.slide.height_px)
    for path in paths:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except (pydicom.errors.InvalidDicomError, OSError) as error:
            raise StorageError(f"{path} is not a DICOM file: {error}.", "") from error
        size = (header.get("TotalPixelMatrixColumns"), header.get("TotalPixelMatrixRows"))
        if str(header.get("SOPClassUID")) == _WHOLE_SLIDE_IMAGE and size == wanted:
            for name in _OFTEN_MISSING:
                if name not in header:
                    setattr(header, name, "")
            return header
    raise SettingsError(
        f"{slide} holds no DICOM image of {wanted[0]}x{wanted[1]} px, as this result's slide has.",
        "Give the folder, or a file, of the DICOM slide that was segmented; for a slide that is "
        "not DICOM leave it out.",
    )


def _derived_image(provenance: Provenance) -> Any:
    from pydicom import Dataset

    sha256 = provenance.slide.sha256
    image = Dataset()
    for name in _OFTEN_MISSING:
        setattr(image, name, "")
    image.PatientID = f"slide-{sha256[:10]}"
    image.Modality = "SM"
    image.SOPClassUID = _WHOLE_SLIDE_IMAGE
    image.StudyInstanceUID = _uid(sha256, "study")
    image.SeriesInstanceUID = _uid(sha256, "series")
    image.SOPInstanceUID = _uid(sha256, "image")
    image.FrameOfReferenceUID = _uid(sha256, "frame")
    return image


def _uid(digest: str, what: str) -> str:
    """A UID of the tree for UUIDs (2.25), the same for the same digest."""
    number = int(text_sha256(f"{what} {digest}")[:32], 16)
    return f"2.25.{number}"


EXPORTER = Exporter(
    name="dicom",
    extensions=(".ann.dcm",),
    what="DICOM Microscopy Bulk Simple Annotations; --slide gives the DICOM slide they belong to",
    opens_in="highdicom, Slim, PACS, dcm4chee",
    write=_write,
    needs=(Need.PROVENANCE,),
    package="highdicom",
    extra="dicom",
    streams=False,
)
