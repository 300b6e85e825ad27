"""What ``dg scaffold defs`` writes: YAML that runs as it is, and says what else there is."""

from __future__ import annotations

import textwrap

import dagster as dg

_SEGMENTATION = """\
type: hoverfast_platform.Segmentation
attributes:
  pipeline: {pipeline}
  # mask: {{engine: builtin}}            # or histoqc, import
  # segmentation: {{model: ""}}          # empty: the promoted one, or the one that ships
"""

_SLIDE_FOLDER = """\
type: hoverfast_platform.SlideFolder
attributes:
  pipeline: {pipeline}
  folders: ["{{{{ context.project_root }}}}/slides/{pipeline}"]   # where slides arrive
  artefacts: "{{{{ context.project_root }}}}/artefacts/{pipeline}"
---
"""

_COHORT = """\
type: hoverfast_platform.Cohort
attributes:
  pipeline: ""                          # as SlideFolder and Segmentation have it
  name: {pipeline}
  plan:
    slides_like: "*"                    # file names, as in a shell
    teacher: classical
"""

_STATISTICS = """\
type: hoverfast_platform.Statistics
attributes:
  pipeline: {pipeline}
  # neighbours: {{radius_um: 50}}         # what counts as a neighbour
"""


class SlideFolderScaffolder(dg.Scaffolder[dg.Model]):
    """A pipeline from files to nuclei, named like its folder."""

    def scaffold(self, request: dg.ScaffoldRequest[dg.Model]) -> None:
        _write(request, _SLIDE_FOLDER + _SEGMENTATION)


class SegmentationScaffolder(dg.Scaffolder[dg.Model]):
    """The part from masks to nuclei, for slides of a pipeline that is there."""

    def scaffold(self, request: dg.ScaffoldRequest[dg.Model]) -> None:
        _write(request, _SEGMENTATION)


class StatisticsScaffolder(dg.Scaffolder[dg.Model]):
    """Neighbourhoods and tables of slides, for slides of a pipeline that is there."""

    def scaffold(self, request: dg.ScaffoldRequest[dg.Model]) -> None:
        _write(request, _STATISTICS)


class CohortScaffolder(dg.Scaffolder[dg.Model]):
    """A cohort, named like its folder."""

    def scaffold(self, request: dg.ScaffoldRequest[dg.Model]) -> None:
        _write(request, _COHORT)


def _write(request: dg.ScaffoldRequest[dg.Model], template: str) -> None:
    text = textwrap.dedent(template).format(pipeline=request.target_path.name)
    if request.scaffold_format != "yaml":
        raise ValueError("These components are written in YAML: leave --format out.")
    path = request.target_path if request.append else request.target_path / "defs.yaml"
    before = f"{path.read_text(encoding='utf-8')}---\n" if request.append else ""
    path.write_text(before + text, encoding="utf-8")
