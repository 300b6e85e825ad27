"""Tables that people make: manifests and lists of masks, as spreadsheets save them.

Encoding, separator and capitals of the columns do not matter, and a row finds its file by name:
folders before it, back slashes, suffixes, capitals and composed letters do not hide it.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage import limits
from hoverfast_platform.storage.foreign_text import decoded_text
from hoverfast_platform.texts import text_of_cell

_SEPARATORS = ",;\t|"
_SUFFIX = re.compile(
    r"(\.ome)?\.(png|jpe?g|tiff?|bmp|npy|mat|svs|svslide|ndpi|mrxs|scn|bif|vms|vmu|dcm|czi|zarr|"
    r"qptiff|isyntax|geojson|json)(\.gz)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ForeignTable:
    """Rows of a table, each about a file.

    Attributes:
        path: The table's file.
        columns: Names of its columns, lower case.
        rows: Texts by column, without spaces at their ends; missing ones are empty.
        key: The column that names the file.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    key: str

    @cached_property
    def _rows_by_name(self) -> Mapping[tuple[str, str], list[int]]:
        """Numbers of the rows, by every way to write the name, strict ones apart."""
        found: dict[tuple[str, str], list[int]] = defaultdict(list)
        for i, row in enumerate(self.rows):
            text = row[self.key]
            if text:
                if "/" in text:
                    found["path", text].append(i)
                found["exact", _base_name(text)].append(i)
                found["loose", _base_name(text).casefold()].append(i)
                found["stem", _without_suffix(text).casefold()].append(i)
        return found

    def numbers_of(self, file: Path) -> list[int]:
        """Numbers of the rows that name a file, by the strictest way that finds one."""
        name, stem = _base_name(file.name), _base_name(file.stem)
        ways = (
            ("path", (str(file), str(file.absolute()))),
            ("exact", (name, stem)),
            ("loose", (name.casefold(), stem.casefold())),
            ("stem", ((_without_suffix(name) if _SUFFIX.search(name) else stem).casefold(),)),
        )
        for way, names in ways:
            found = {i for text in names for i in self._rows_by_name.get((way, text), ())}
            if found:
                return sorted(found)
        return []

    def value(self, file: Path, column: str) -> str | None:
        """What the rows of a file say in a column; None if no row names it.

        Raises:
            StorageError: If they contradict each other.
        """
        values = {self.rows[i][column] for i in self.numbers_of(file)}
        if len(values) > 1:
            raise StorageError(
                f"{self.path} says {len(values)} different things of {file.name} in the column "
                f"{column}: {', '.join(sorted(map(repr, values))[:3])}.",
                "It must say one; remove the other rows.",
            )
        return values.pop() if values else None

    def unmatched(self, files: Iterable[Path]) -> tuple[str, ...]:
        """Names in the rows that belong to none of the files."""
        used = {i for file in files for i in self.numbers_of(file)}
        return tuple(row[self.key] for i, row in enumerate(self.rows) if i not in used)


def read_table(path: Path, needed: Sequence[str]) -> ForeignTable:
    """A table in CSV or TSV, with the separator and the encoding it happens to have.

    Args:
        path: The file.
        needed: Columns that it must have; the first of them names the file a row is about.

    Raises:
        StorageError: If it cannot be read, is too large, lacks a column, or a row has more fields
            than columns.
    """
    text = _text_of(path)
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep="):  # Excel's own line
        text = rest
        first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restkey="")
        columns = tuple(str(name).strip().lower() for name in reader.fieldnames or ())
        rows = [_row(path, reader.line_num, raw) for raw in reader]
    except csv.Error as error:
        raise StorageError(f"{path} is not a readable table: {error}.") from error
    missing = [name for name in needed if name not in columns]
    if missing:
        raise StorageError(
            f"{path} has no column {' and no column '.join(missing)}.",
            f"Its first line must name the columns {', '.join(needed)}.",
        )
    return ForeignTable(path, columns, tuple(row for row in rows if any(row.values())), needed[0])


def _text_of(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is a folder, a pipe or a device.", "Give a table's file.")
    return decoded_text(path, limits.TABLE_BYTES)


def _row(path: Path, line: int, raw: Mapping[str, str | list[str] | None]) -> dict[str, str]:
    row: dict[str, str] = {}
    for name, value in raw.items():
        if isinstance(value, list):
            if any(text.strip() for text in value):
                raise StorageError(
                    f"{path}, line {line}: more fields than columns.",
                    "Put texts that hold the separator in quotes.",
                )
            continue
        row[str(name).strip().lower()] = text_of_cell((value or "").strip())
    return row


def _base_name(text: str) -> str:
    """Without folders, in either way of writing them; composed letters as one."""
    return unicodedata.normalize("NFC", text.replace("\\", "/").rstrip("/").rpartition("/")[2])


def _without_suffix(text: str) -> str:
    return _SUFFIX.sub("", _base_name(text))
