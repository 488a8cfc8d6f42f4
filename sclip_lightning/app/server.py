"""Serving the page from this machine alone: no network, no telemetry, and one temporary folder that goes with it."""

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sclip_lightning.errors import ConfigError

__all__ = ["PORT", "check_gradio", "serve", "served", "temporary_folder"]

#: The first port that is tried.
PORT = 7860
#: Ports that are tried after it.
TRIED = 20


def check_gradio() -> None:
    """Raise ConfigError where Gradio is not installed."""
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        msg = 'sclip app needs Gradio, which is not installed. Install it with: pip install -e ".[app]"'
        raise ConfigError(msg)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for everything that the page writes, deleted at the end; Gradio, not imported yet, is told of it."""
    with tempfile.TemporaryDirectory(prefix="sclip-app-", ignore_cleanup_errors=True) as name:
        told = {
            "GRADIO_TEMP_DIR": f"{name}/gradio",
            "GRADIO_EXAMPLES_CACHE": f"{name}/examples",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        before = {variable: os.environ.get(variable) for variable in told}
        os.environ.update(told)
        try:
            yield Path(name)
        finally:
            for variable, value in before.items():
                if value is None:
                    os.environ.pop(variable, None)
                else:
                    os.environ[variable] = value


@contextmanager
def served(page: Any, host: str, port: int | None, megabytes: float) -> Iterator[str]:
    """Serve the page while inside.

    Args:
        page: From ``build_page``.
        host: Address to listen on.
        port: That port and no other; None takes the first free one from 7860 on.
        megabytes: Most of an uploaded file, in 10^6 bytes.

    Yields:
        The page's address.

    Raises:
        ConfigError: The host or the port cannot be used.
    """
    from sclip_lightning.app.page import PAGE_CSS, theme

    port = _free_port(host, port)
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=False,
        max_file_size=int(megabytes * 1e6),
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        mcp_server=False,
        footer_links=[],
        theme=theme(),
        css=PAGE_CSS,
    )
    try:
        yield f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    finally:
        page.close(verbose=False)


def serve(
    page: Any, host: str, port: int | None, megabytes: float, say: Callable[[str], None], open_browser: bool = False
) -> None:
    """Serve the page until the process is stopped; ``say`` is told the address."""
    with served(page, host, port, megabytes) as address:
        say(address)
        if open_browser:
            import webbrowser

            webbrowser.open(address)
        threading.Event().wait()


def _free_port(host: str, port: int | None) -> int:
    """The port to listen on, after making sure that it is free."""
    for candidate in [port] if port is not None else range(PORT, PORT + TRIED):
        try:
            family, *_, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return int(candidate)
        except socket.gaierror as error:
            msg = f"There is no address {host!r} (--host): {error.strerror}. 127.0.0.1 is this machine alone."
            raise ConfigError(msg) from error
        except OSError as error:
            reason = error.strerror
    if port is not None:
        msg = f"Port {port} of {host} (--host, --port) cannot be used: {reason}. Name another, or leave --port out."
    else:
        msg = f"No port from {PORT} to {PORT + TRIED - 1} of {host} is free: {reason}. Name another with --port."
    raise ConfigError(msg)
