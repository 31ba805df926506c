"""Serves the page on this machine alone; refuses requests of other sites."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import quote

from schemas.errors import OutputError, UsageError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI, Request, Response

    from rim.app.session import AppSession

HOST = "127.0.0.1"
MAX_UPLOAD = "512mb"

_SECONDS_TO_CLOSE = 1
_SECONDS_BETWEEN_LOOKS = 0.05
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; frame-ancestors 'none'; "
    "form-action 'self'; base-uri 'self'"
)
"""What the browser may load: this server's own. Gradio's page needs inline scripts."""

_SWITCHES = {
    "GRADIO_ANALYTICS_ENABLED": "False",  # also the look for a newer version
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def check_gradio() -> None:
    """UsageError if the extra `app` is not installed; loads nothing."""
    if find_spec("gradio") is None:
        raise UsageError(
            "rim app needs Gradio, which is not installed; install it: pip install 'rim-bank[app]'"
        )


def listen(port: int) -> socket.socket:
    """A socket that listens on this machine alone; 0 is any free port.

    Raises OutputError if the port is taken or not allowed.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise OutputError(
            f"port {port} cannot be used ({error.strerror}); choose another one, or --port 0 for "
            "any that is free"
        ) from error
    return listener


def make_app(session: AppSession) -> FastAPI:
    """The web application of a session; `serve` runs it."""
    uploads = session.folder / "uploads"
    uploads.mkdir(exist_ok=True)
    os.environ.update(_SWITCHES, GRADIO_TEMP_DIR=str(uploads))
    import gradio
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse, Response

    from rim.app import page

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    async def guard(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        refusal = _refusal(request)
        if refusal is not None:
            return PlainTextResponse(refusal, status_code=403)
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    def results() -> Response:
        try:
            name, data = session.results()
        except UsageError as error:
            return PlainTextResponse(str(error), status_code=404)
        where = f"attachment; filename*=utf-8''{quote(name)}"
        return Response(data, media_type="application/zip", headers={"Content-Disposition": where})

    app.middleware("http")(guard)
    app.add_api_route("/results.zip", results, methods=["GET"], response_model=None)
    blocks = page.build_page(session, uploads)
    mounted: FastAPI = gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=MAX_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        theme=page.theme(),
        css=page.style(),
        head=page.head_html(),
    )
    return mounted


def serve(app: FastAPI, listener: socket.socket, started: Callable[[], None]) -> None:
    """Answers until Ctrl-C, which comes out as KeyboardInterrupt.

    started: called once the page can be opened.
    """
    server = make_server(app)
    threading.Thread(target=_when_started, args=[server, started], daemon=True).start()
    server.run(sockets=[listener])


def make_server(app: FastAPI) -> uvicorn.Server:
    """The server of `serve`; whoever runs it can stop it by `should_exit`."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_CLOSE,  # the page's event stream never ends
    )
    return uvicorn.Server(config)


def _when_started(server: uvicorn.Server, started: Callable[[], None]) -> None:
    while not (server.started or server.should_exit):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    if server.started:
        started()


def _refusal(request: Request) -> str | None:
    """Why a request is not answered: another site's page, or another name for this machine.

    A page elsewhere can send requests to 127.0.0.1, and give 127.0.0.1 a name of its own.
    """
    host = request.headers.get("host", "")
    if host.rpartition(":")[0] not in (HOST, "localhost"):
        return f"expected a request to {HOST}"
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "expected a request by this page"
    return None
