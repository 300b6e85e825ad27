"""Serving the application on this machine."""

from __future__ import annotations

import socket

from starlette.applications import Starlette

from hoverfast_platform.errors import SettingsError


def bind(port: int) -> socket.socket:
    """A socket on 127.0.0.1; port 0 takes any free one.

    Raises:
        SettingsError: If the port is taken.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"Port {port} cannot be used: {error.strerror}.", "Choose another with --port."
        ) from error
    return bound


def serve(app: Starlette, bound: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30
    )
    uvicorn.Server(config).run(sockets=[bound])
