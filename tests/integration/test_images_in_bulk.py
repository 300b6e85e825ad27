"""Several images in hand at once give what each gives alone, in order, under the same names."""

import gzip

import numpy as np
from PIL import Image

from hoverfast_platform.storage.previews import Line
from hoverfast_platform.use_cases import segment_images as module
from tests.integration.drawn_slide import drawn_tissue

SHAPES = ((256, 300), (180, 411), (256, 300), (300, 256), (90, 140))


def test_images_at_once_are_published_as_one_after_another(engine, tmp_path, monkeypatch):
    paths = []
    for i, shape in enumerate(SHAPES):
        folder = tmp_path / str(i % 2)  # two of each stem
        folder.mkdir(exist_ok=True)
        paths.append(folder / f"tile{i // 2}.png")
        Image.fromarray(drawn_tissue(*shape, seed=i)[0]).save(paths[-1])
    published = []
    for n_at_once in (1, 4):
        monkeypatch.setattr(module, "_AT_ONCE", n_at_once)
        monkeypatch.setattr(module, "available_cores", lambda: 8)
        out = tmp_path / f"out{n_at_once}"
        line = Line.of("green", 2)
        outcomes = list(
            module.segment_images(paths, out, engine=engine, line=line, mpp=engine.model.card.mpp)
        )
        assert [outcome.item for outcome in outcomes] == paths
        assert all(outcome.error is None for outcome in outcomes)
        files = sorted(out.glob("json/*")) + sorted(out.glob("label_mask/*"))
        published.append(
            {
                path.name: gzip.decompress(path.read_bytes())
                if path.suffix == ".gz"
                else np.asarray(Image.open(path)).tobytes()
                for path in files
            }
        )
    assert len(published[0]) == 2 * len(paths)
    assert published[0] == published[1]
