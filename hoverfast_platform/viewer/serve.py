"""Serving the application on this machine."""

from __future__ import annotations

import socket

from starlette.applications import Starlette

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.freed_memory import give_back_large_arrays


def bind(port: int, address: str = "127.0.0.1") -> socket.socket:
    """Open a socket of this machine; port 0 takes any free one.

    Raises:
        SettingsError: If the port is taken, or the address is not one of this machine's.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"Port {port} of {address} cannot be used: {error.strerror}.",
            "Choose another with --port.",
        ) from error
    return bound


def serve(app: Starlette, bound: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM."""
    import uvicorn

    give_back_large_arrays()
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30
    )
    uvicorn.Server(config).run(sockets=[bound])
