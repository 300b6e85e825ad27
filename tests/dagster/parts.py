"""The assets of the platform by name, as tests materialize them."""

from pathlib import Path

from hoverfast_platform.assets.definitions import build_definitions

_LOCATION = build_definitions(Path("nowhere"))
cohort = _LOCATION.get_assets_def("cohort")
mask_settings = _LOCATION.get_assets_def("mask_settings")
model_evaluation = _LOCATION.get_assets_def("model_evaluation")
nuclei = _LOCATION.get_assets_def("nuclei")
promoted_model = _LOCATION.get_assets_def("promoted_model")
segmentation_model = _LOCATION.get_assets_def("segmentation_model")
segmentation_settings = _LOCATION.get_assets_def("segmentation_settings")
slide = _LOCATION.get_assets_def("slide")
slide_inventory = _LOCATION.get_assets_def("slide_inventory")
stain = _LOCATION.get_assets_def("stain")
student_model = _LOCATION.get_assets_def("student_model")
teacher_labels = _LOCATION.get_assets_def("teacher_labels")
tissue_mask = _LOCATION.get_assets_def("tissue_mask")
