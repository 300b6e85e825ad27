"""``hoverfast view``: slides and their nuclei in the browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoverfast_platform.cli.catalogue_option import VARIABLE, CatalogueType
from hoverfast_platform.cli.say import say

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from hoverfast_platform.viewer.access import Access
    from hoverfast_platform.viewer.library import Library

_NEEDED = ("starlette", "uvicorn")


@click.command("view")
@click.argument("what", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--slides",
    "slide_folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where slides lie that have moved since; may be given several times.",
)
@click.option("--mpp", type=float, help="Micrometres per pixel of slides that do not say it.")
@click.option("--review", is_flag=True, help="Corrections can be made and are saved.")
@click.option(
    "--review-folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where they are saved. [default: corrections/ beside the results]",
)
@click.option("--port", type=int, default=0, help="[default: any free one]")
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    help="Address of this machine; another one only inside a container, whose port is on loopback.",
)
@click.option(
    "--catalogue",
    envvar=VARIABLE,
    type=CatalogueType(),
    help="The catalogue, where it is not in the folder.  [default: catalogue.sqlite in WHAT]",
)
@click.option(
    "--token", envvar="HOVERFAST_VIEWER_TOKEN", help="[default: a new one at every start]"
)
@click.option(
    "--beside-dagster",
    is_flag=True,
    help="Seeing needs no token, as with Dagster's page; writing does. The folder may be empty.",
)
@click.option(
    "--host-name",
    "host_names",
    multiple=True,
    help="A name under which a reverse proxy offers the page, besides 127.0.0.1.",
)
@click.option(
    "--export",
    "export_folder",
    type=click.Path(path_type=Path),
    help="Write one slide's page as files into a new FOLDER for any file server; serve nothing.",
)
@click.option(
    "--region",
    type=(float, float, float, float),
    help="What is exported: x, y, width, height, level-0 pixels.  [default: the whole slide]",
)
@click.option("--browser/--no-browser", default=True, help="Open the page.  [default: browser]")
def command(  # noqa: PLR0913 - one parameter per option
    what: Path,
    slide_folders: tuple[Path, ...],
    mpp: float | None,
    review: bool,
    review_folder: Path | None,
    port: int,
    listen: str,
    catalogue: Path | str | None,
    token: str | None,
    beside_dagster: bool,
    host_names: tuple[str, ...],
    export_folder: Path | None,
    region: tuple[float, float, float, float] | None,
    browser: bool,
) -> None:
    """Show WHAT in the browser: a folder of results, an artefact folder, slides, or one slide.

    The page is on this machine only (127.0.0.1), and nothing leaves it. The address has a token
    in it: whoever knows the address sees the slides.
    """
    import importlib.util
    import secrets
    import webbrowser

    from hoverfast_platform.errors import SettingsError

    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"The viewer needs {' and '.join(missing)}, which is not installed.",
            "pip install 'hoverfast-platform[viewer]'.",
        )

    from hoverfast_platform.viewer.access import Access
    from hoverfast_platform.viewer.app import check_built, viewer_app
    from hoverfast_platform.viewer.library import open_library
    from hoverfast_platform.viewer.serve import bind, serve

    check_built()

    def load() -> Library:
        return open_library(
            what,
            slide_folders=slide_folders,
            mpp=mpp,
            may_be_empty=beside_dagster,
            catalogue=catalogue,
        )

    library = load()
    access = Access(
        token=token or secrets.token_urlsafe(24),
        anyone_may_read=beside_dagster,
        may_write=review,
        hosts=(*Access.hosts, *host_names),
    )
    app = viewer_app(load, access, review_folder or library.root / "corrections")
    if export_folder is not None:
        n_files = _export(app, access, load, region, export_folder)
        say(f"{n_files} files in {export_folder}. Put the folder on any file server.")
        return
    with bind(port, listen) as socket:
        address = f"http://127.0.0.1:{socket.getsockname()[1]}/"
        say(f"{len(library.exhibits)} to see. Ctrl-C ends it.")
        say(f"{address}?token={access.token}")
        if browser:
            webbrowser.open(f"{address}?token={access.token}")
        serve(app, socket)


def _export(
    app: Starlette,
    access: Access,
    load: Callable[[], Library],
    region: tuple[float, float, float, float] | None,
    folder: Path,
) -> int:
    """Write the first result, or the first slide where there is none."""
    from hoverfast_platform.errors import SettingsError
    from hoverfast_platform.storage.nuclei_lookup import Place
    from hoverfast_platform.viewer.export import export_region
    from hoverfast_platform.viewer.showroom import Showroom

    exhibits = load().exhibits
    if len(exhibits) != 1:
        raise SettingsError(
            f"An export shows one slide; there are {len(exhibits)} to see.",
            "Give the folder of one result, or one slide.",
        )
    shown = Showroom(load, folder.with_name(f"{folder.name}.corrections")).show(exhibits[0].key)
    place = None
    if region is not None:
        x, y, width, height = region
        place = Place(x, y, x + width, y + height)
    return export_region(app, (access.cookie, access.token), shown, place, folder)
