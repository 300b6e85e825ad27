"""The reference, written from the code: what a page says is what the program does.

A page fails to be written, and so the build, where the code does not say what something means:
an option without help, a setting whose name says nothing and that has no text, an address of the
viewer without a docstring.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import hoverfast_platform as hf
from hoverfast_platform.catalogue.tables import Base
from hoverfast_platform.checks.policy import CheckPolicy
from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.cohorts.plan import CohortPlan
from hoverfast_platform.config import Compute, MaskSettings, SegmentationSettings
from hoverfast_platform.explanations import KINDS, explanation_of
from hoverfast_platform.ingest.mpp_rules import MppRules
from hoverfast_platform.ingest.scope_rules import ScopeRules
from hoverfast_platform.ingest.stain_rules import StainRules
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS
from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.verdict import PromotionPolicy
from hoverfast_platform.viewer.access import Access
from hoverfast_platform.viewer.app import viewer_app

SETTINGS: tuple[tuple[type[BaseModel], str], ...] = (
    (SegmentationSettings, "`SegmentationSettings(...)` in Python; options of `infer_wsi`."),
    (Compute, "`Compute(...)` in Python; options of `infer_wsi` and `infer_roi`."),
    (MaskSettings, "`hoverfast mask --settings FILE`; `masks.json` in the artefact folder."),
    (TrainingSettings, "`hoverfast train --settings FILE`; `training` of a cohort's plan."),
    (PromotionPolicy, "`hoverfast models promote --policy FILE`; `gate` of a cohort's plan."),
    (CohortPlan, "`cohorts/NAME.json` in the artefact folder."),
    (CheckPolicy, "`checks.json` in the artefact folder."),
    (MppRules, "`mpp.json` in the artefact folder."),
    (StainRules, "`stains.json` in the artefact folder."),
    (ScopeRules, "`scopes.json` in the artefact folder."),
)
"""Settings a person writes, each with the place where."""


def write_reference(made: Path) -> None:
    """Write every page of the reference into a folder."""
    made.mkdir(exist_ok=True)
    for stale in made.glob("*.md"):
        stale.unlink()
    pages = {
        "commands": commands_page(),
        "settings": settings_page(),
        "python-api": python_page(),
        "catalogue": catalogue_page(),
        "columns": columns_page(),
        "viewer-rest": viewer_page(),
        "errors": errors_page(),
    }
    pages |= {f"error-{kind}": error_page(kind) for kind in KINDS}
    for name, text in pages.items():
        (made / f"{name}.md").write_text(text, encoding="utf-8")


def commands_page() -> str:
    """Every command with its options, as ``--help`` says it."""
    parts = [
        "# Commands",
        "`hoverfast COMMAND --help` prints the same. Dashes, underscores and capitals in the name "
        "of a command are the same to it.",
    ]
    parts += _command_parts("hoverfast", hoverfast, depth=2)
    return "\n\n".join(parts) + "\n"


def _command_parts(name: str, command: click.Command, depth: int) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    yield f"{'#' * depth} {name}"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"    {name} {usage}"
    help_text = inspect.cleandoc(command.help or "")
    if not help_text:
        raise ValueError(f"`{name}` has no help text")
    yield _escaped(help_text)
    options = [one for one in command.params if isinstance(one, click.Option)]
    if options:
        rows = [
            f"| {_option_names(one)} | {_cell(_option_help(name, one, context))} |"
            for one in options
        ]
        yield "\n".join(["| option | what it does |", "|---|---|", *rows])
    if isinstance(command, click.Group):
        for sub_name in command.list_commands(context):
            sub = command.get_command(context, sub_name)
            assert sub is not None
            yield from _command_parts(f"{name} {sub_name}", sub, depth + 1)


def _option_names(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag or option.count:
        return names
    kind = option.type
    what = "\\|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name
    return f"{names} {what}" + (f" x {option.nargs}" if option.nargs > 1 else "")


def _option_help(command: str, option: click.Option, context: click.Context) -> str:
    if not option.help:
        raise ValueError(f"option {option.opts[0]} of `{command}` has no help text")
    text = _escaped(option.help)
    notes = []
    if option.required:
        notes.append("required")
    default = option.get_default(context, call=False)
    if not option.is_flag and not option.required and _is_worth_saying(default):
        notes.append(f"default `{_plain(default)}`")
    if option.envvar:
        notes.append(f"also as `{option.envvar}`")
    return f"{text} ({', '.join(notes)})" if notes else text


def settings_page() -> str:
    """Every setting with its default, its limits and what turning it does."""
    parts = [
        "# Settings",
        "A misspelt name is an error, as is a value outside the limits. Files are JSON and hold "
        "what differs from the defaults. A field that is itself a group of settings has its own "
        "table below.",
    ]
    shown: set[type[BaseModel]] = set()
    for model, place in SETTINGS:
        parts += _settings_parts(model, place, shown, depth=2)
    return "\n\n".join(parts) + "\n"


def _settings_parts(
    model: type[BaseModel], place: str, shown: set[type[BaseModel]], depth: int
) -> Iterator[str]:
    if model in shown:
        return
    shown.add(model)
    yield f"{'#' * depth} {model.__name__}"
    yield " ".join(_escaped(inspect.getdoc(model) or "").split())
    if place:
        yield f"Where: {place}"
    rows = [
        f"| `{name}` | {_cell(_default_of(field))} | {_limits_of(field)} | "
        f"{_cell(_escaped(_meaning(model, name, field)))} |"
        for name, field in model.model_fields.items()
    ]
    head = ["| setting | default | limits | what turning it does |", "|---|---|---|---|"]
    yield "\n".join([*head, *rows])
    for field in model.model_fields.values():
        for group in _groups_in(field.annotation):
            yield from _settings_parts(group, "", shown, min(depth + 1, 4))


def _groups_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _groups_in(inner)


def _meaning(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    if field.description:
        return field.description
    groups = list(_groups_in(field.annotation))
    if not groups:
        raise ValueError(f"{model.__name__}.{name} has no text that says what turning it does")
    return f"See [{groups[0].__name__}](#{groups[0].__name__.lower()})."


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None or isinstance(field.default, BaseModel):
        return "its defaults"
    return f"`{_plain(field.default)}`" if field.default is not None else "none"


def _limits_of(field: FieldInfo) -> str:
    signs = {"gt": "&gt;", "ge": "&ge;", "lt": "&lt;", "le": "&le;", "multiple_of": "multiple of"}
    found = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in signs.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join(found)


def python_page() -> str:
    """The public names of the package, with their docstrings."""
    summary = inspect.getdoc(hf) or ""
    parts = ["# Python API", "```{eval-rst}", summary.strip(), "```"]
    for name in sorted(hf.__all__, key=str.lower):
        thing = getattr(hf, name)
        if isinstance(thing, type):
            directive = "autoexception" if issubclass(thing, Exception) else "autoclass"
            members = "" if issubclass(thing, Exception | BaseModel) else "\n   :members:"
            block = f".. {directive}:: hoverfast_platform.{name}{members}"
        elif callable(thing):
            block = f".. autofunction:: hoverfast_platform.{name}"
        else:
            continue
        parts += [f"## {name}", "```{eval-rst}", block, "```"]
        if isinstance(thing, type) and issubclass(thing, BaseModel):
            parts.append("Its fields are on the page of [settings](settings.md).")
    return "\n\n".join(parts) + "\n"


def catalogue_page() -> str:
    """The tables of the catalogue, their columns and what refers to what."""
    tables = Base.metadata.sorted_tables
    texts = {
        mapper.local_table.name: inspect.getdoc(mapper.class_) or ""
        for mapper in Base.registry.mappers
    }
    drawing = [
        f"    {key.column.table.name} ||--o{{ {table.name} : {key.parent.name}"
        for table in tables
        for key in sorted(table.foreign_keys, key=lambda one: one.parent.name)
    ]
    parts = [
        "# Schema of the catalogue",
        "SQLite or PostgreSQL; `hoverfast catalogue upgrade` makes or migrates it, "
        "`hoverfast catalogue info` counts its rows. Read it freely; write through the commands "
        "or Python only.",
        "```mermaid\nerDiagram\n" + "\n".join(drawing) + "\n```",
    ]
    for table in tables:
        if not texts[table.name]:
            raise ValueError(f"the table {table.name} has no docstring")
        rows = [
            f"| `{column.name}` | {_column_type(column.type)} | "
            f"{'may be NULL' if column.nullable else ''} | "
            f"{', '.join(f'`{key.target_fullname}`' for key in column.foreign_keys)} |"
            for column in table.columns
        ]
        parts += [
            f"## {table.name}",
            _escaped(texts[table.name]),
            "\n".join(["| column | type | | refers to |", "|---|---|---|---|", *rows]),
        ]
    return "\n\n".join(parts) + "\n"


def _column_type(column_type: Any) -> str:
    return str(column_type).lower() if not hasattr(column_type, "impl") else (
        str(column_type.impl).lower()
    )  # fmt: skip


def columns_page() -> str:
    """The columns of the nuclei table."""
    fixed = [
        ("id", "", "", "UUID of the polygon within this segmentation; the same in all files."),
        ("geometry", "", "", "WKB polygon in level-0 pixels."),
        ("centroid_x", "Centroid X px", "", "Level-0 pixels."),
        ("centroid_y", "Centroid Y px", "", "Level-0 pixels."),
        ("tile", "", "", "Index of the tile that found it."),
    ]
    measured = [(m.column, m.qupath_name, m.stain or "any", m.definition) for m in MEASUREMENTS]
    rows = [
        f"| `{column}` | {qupath.replace('^2', '²')} | {stain} | {text} |"
        for column, qupath, stain, text in (*fixed, *measured)
    ]
    return "\n".join(
        [
            "# Columns of the nuclei table",
            "",
            "`OUT/<stem>.parquet`, one row per nucleus. Units and the frame of coordinates: "
            "[results](../results.md).",
            "",
            "| column | in QuPath | stain | what it is |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def viewer_page() -> str:
    """The addresses that the viewer's page asks, with what they answer."""

    def no_library() -> Any:
        raise AssertionError("nothing is shown while the reference is written")

    app = viewer_app(no_library, Access("token"), Path("review"))
    rows = []
    for route in app.routes:
        endpoint = getattr(route, "endpoint", None)
        if endpoint is None:
            continue
        text = inspect.getdoc(endpoint)
        if not text:
            raise ValueError(f"the method for {route.path} in viewer/app.py has no docstring")
        methods = ", ".join(sorted(route.methods - {"HEAD"}))
        rows.append(f"| `{methods} {route.path}` | {_cell(_escaped(text))} |")
    return "\n".join(
        [
            "# Addresses of the viewer",
            "",
            "`hoverfast view` prints an address with a token. Asked with `?token=`, the page "
            "answers with a cookie, which every further request must carry. Errors are JSON: "
            "`error` and the `kind` of [the error](errors.md). `key` is a result's key as "
            "`/api/slides` lists it; `z`, `x`, `y` are a tile: zoom 0 is the whole slide in one "
            "tile.",
            "",
            "| address | answers |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def errors_page() -> str:
    """All kinds of errors, each with its page."""
    rows = [
        f"| [{kind}](error-{kind}.md) | {_cell(explanation_of(kind).what)} | "
        f"{'yes' if KINDS[kind].is_transient else 'no'} |"
        for kind in KINDS
    ]
    return "\n".join(
        [
            "# Errors",
            "",
            "Every failure has a kind. It stands in the command line's message, in the catalogue "
            "(`failures.kind`), in reports and in the Dagster UI. `hoverfast explain KIND` prints "
            "the same pages.",
            "",
            "| kind | what happened | may the same work when tried again? |",
            "|---|---|---|",
            *rows,
            "",
            "```{toctree}",
            ":hidden:",
            "",
            *(f"error-{kind}" for kind in KINDS),
            "```",
            "",
        ]
    )


def error_page(kind: str) -> str:
    """Cause and remedy of one kind of error."""
    found = explanation_of(kind)
    return f"# {kind}\n\n{found.text}\n"


def _is_worth_saying(default: Any) -> bool:
    return isinstance(default, str | int | float | tuple | Path) and default not in ("", ())


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ", ".join(map(_plain, value)) or "[]"
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def _escaped(text: str) -> str:
    """Text of the code as Markdown: double backticks become single, angle brackets stay."""
    text = text.replace("``", "`")
    return re.sub(r"<(?=[A-Za-z/])(?![^`]*`(?:[^`]*`[^`]*`)*[^`]*$)", "&lt;", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") if "\\|" not in text else text
