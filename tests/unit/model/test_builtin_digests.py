"""Built-in models are the released files, or are not used."""

import shutil

import pytest

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.files import file_sha256
from hoverfast_platform.model import builtin_digests, quantised, registry
from hoverfast_platform.model.builtin_digests import BUILTIN_DIR, BUILTIN_SHA256
from hoverfast_platform.model.quantised import Int8Card, find_int8, graph_digest
from hoverfast_platform.model.registry import DEFAULT_MODEL, find_model


def test_every_built_in_file_is_pinned():
    vouched_for = (".bin", ".xml", ".int8.json", ".safetensors")
    files = [path for path in sorted(BUILTIN_DIR.iterdir()) if path.name.endswith(vouched_for)]
    found = {path.name: file_sha256(path) for path in files}

    lines = "\n".join(f'    "{name}": "{digest}",' for name, digest in found.items())
    assert found == BUILTIN_SHA256, f"write in model/builtin_digests.py:\n{lines}"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A copy of the built-in models that a test may spoil."""
    folder = tmp_path / "builtin"
    shutil.copytree(BUILTIN_DIR, folder)
    for module in (builtin_digests, registry):
        monkeypatch.setattr(module, "BUILTIN_DIR", folder)
    return folder


def test_graph_replaced_together_with_its_card_is_not_used(installed):
    weights = installed / f"{DEFAULT_MODEL}.safetensors"
    graph, card_path = quantised.int8_paths(weights)
    assert find_int8(weights) is not None
    graph.write_text(graph.read_text().replace("</net>", "<!-- ours --></net>"))
    card = Int8Card.model_validate_json(card_path.read_bytes())
    vouching = card.model_copy(update={"graph_digest": graph_digest(graph)})
    card_path.write_text(vouching.model_dump_json())

    with pytest.raises(CheckpointError, match="not the file that was released"):
        find_int8(weights)


def test_replaced_weights_are_not_used(installed):
    path = installed / f"{DEFAULT_MODEL}.safetensors"
    path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(CheckpointError, match="not the file that was released"):
        find_model(DEFAULT_MODEL)
