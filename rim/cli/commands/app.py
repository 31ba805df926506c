"""`rim app`: opens a local page that labels photos and says why."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path

import click

from rim.cli.options import bank_argument, device_option, examples, offline_option, preset_option
from rim.cli.output import say

_PORT = 7860


@click.command("app", epilog=examples("rim app bank"))
@bank_argument
@click.option(
    "--port",
    default=_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Of 127.0.0.1; 0 is any free one.",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@preset_option
@device_option
@offline_option
def command(
    bank: Path, port: int, no_browser: bool, preset: str | None, device: str, offline: bool
) -> int:
    """Open a local page for BANK: drop a photo, see its labels, click a region, see the references
    that decided it, reject a bad one, try a new category.

    The page is for this machine alone and fetches nothing. Its address is printed; Ctrl-C ends it.
    """
    from rim.app.server import HOST, check_gradio, listen, make_app, serve

    check_gradio()
    with listen(port) as listener:
        from rim.app.session import AppSession
        from rim.bank import Bank

        opened = Bank(bank)
        say(f"rim: loading the models of {bank}")
        session = AppSession(opened, preset=preset, device=device, offline=offline)
        try:
            address = f"http://{HOST}:{listener.getsockname()[1]}/"

            def started() -> None:
                click.echo(address)
                say(f"rim: {bank}, version {opened.version}; Ctrl-C ends it")
                if not no_browser:
                    threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

            serve(make_app(session), listener, started)
        finally:
            session.close()
    return 0
