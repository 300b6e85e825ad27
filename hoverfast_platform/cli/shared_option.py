"""The ``--shared`` of commands: the object store in which machines share what they made."""

from __future__ import annotations

VARIABLE = "HOVERFAST_SHARED"
"""The variable that Dagster's side reads, too."""

HELP = "Object store of a deployment: s3://bucket/folder, or another URL of fsspec."
