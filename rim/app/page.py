"""The page: its layout in Gradio, and which action of the session each of its parts calls.

The one module that imports Gradio at its top; `rim.app.server` sets its switches before.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from rim.app.actions import Actions, Shown
from rim.app.payload import head_payload, trials_payload, viewer_payload, why_payload
from rim.app.session import AppSession
from rim.app.state import Choice, State
from rim.cli.progress import stage_words

if TYPE_CHECKING:
    from bank_builder.report import BuildProgress

_ROOT = '<div class="rim-root"></div>'
_MATCHERS = ("knn", "prototype", "ranking")
_COSINE = "cosine"
_BACKGROUNDS = ("auto", "off", _COSINE)
_PROGRESS = gr.Progress()
_MOST_TRIED = 64
_TRIED = 6

Outputs = tuple[Any, ...]


def build_page(session: AppSession, uploads: Path) -> gr.Blocks:
    """The page of a session.

    uploads: the folder that Gradio puts uploaded photos into; no other file is ever opened.
    """
    page: gr.Blocks
    with gr.Blocks(title="rim", analytics_enabled=False, fill_width=True) as page:
        start = session.state()
        head = _part("head", head_payload(start, "Drop a photo to begin.", "hint"), "")
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=250):
                controls = _controls(start)
            with gr.Column(scale=5, min_width=420):
                viewer = _part("viewer", viewer_payload(start), "photo", "pick", "refused")
            with gr.Column(scale=3, min_width=300):
                why = _part("why", why_payload(start), "reject", "undo")
        outputs = [head, viewer, why, controls.trials, controls.categories]
        _connect(page, Actions(session, uploads), viewer, why, controls, outputs)
    return page


def _connect(
    page: gr.Blocks,
    actions: Actions,
    viewer: gr.HTML,
    why: gr.HTML,
    controls: _Controls,
    outputs: list[Any],
) -> None:
    """Says which action follows which event; actions wait for each other."""
    quiet: dict[str, Any] = {
        "outputs": outputs,
        "show_progress": "hidden",
        "concurrency_id": "session",
        "concurrency_limit": 1,
    }
    with_progress = {**quiet, "show_progress": "full", "show_progress_on": controls.trials}

    def photo(event: gr.EventData) -> Outputs:
        return _values(actions.photo(event.path, event.name))

    def refused(event: gr.EventData) -> Outputs:
        return _values(actions.refused(event.name, event.error))

    def pick(event: gr.EventData) -> Outputs:
        return _values(actions.pick(event.region, event.serial))

    def reject(event: gr.EventData) -> Outputs:
        return _values(actions.reject(event.image_id))

    def undo(event: gr.EventData) -> Outputs:
        return _values(actions.undo(event.image_id))

    def choose(
        names: list[str], matcher: str, background: str, cosine: float, filter: bool
    ) -> Outputs:
        least = float(cosine) if background == _COSINE else background
        return _values(actions.choose(Choice(matcher, least, bool(filter), tuple(names))))

    # Gradio finds a progress by the default of the parameter.
    def attempt(name: str, images: float, keep: bool, progress: gr.Progress = _PROGRESS) -> Outputs:
        return _values(actions.attempt(name, int(images), bool(keep), _reporter(progress)))

    def keep(event: gr.EventData, progress: gr.Progress = _PROGRESS) -> Outputs:
        return _values(actions.keep(event.name, _reporter(progress)))

    def drop(event: gr.EventData) -> Outputs:
        return _values(actions.drop(event.name))

    page.load(lambda: _values(actions.reload()), **quiet)
    viewer.photo(photo, **quiet)
    viewer.pick(pick, **quiet)
    viewer.refused(refused, **quiet)
    why.reject(reject, **quiet)
    why.undo(undo, **quiet)
    chosen: list[Any] = [
        controls.categories,
        controls.matcher,
        controls.background,
        controls.cosine,
        controls.filter,
    ]
    for one in chosen:
        event = controls.cosine.release if one is controls.cosine else one.input
        event(choose, inputs=chosen, trigger_mode="always_last", **quiet)
    controls.background.input(
        lambda kind: gr.update(visible=kind == _COSINE), controls.background, controls.cosine
    )
    gr.on(
        [controls.attempt.click, controls.name.submit],
        attempt,
        inputs=[controls.name, controls.images, controls.keep],
        **with_progress,
    )
    controls.trials.keep(keep, **with_progress)
    controls.trials.drop(drop, **quiet)


def head_html() -> str:
    """What goes into the head of the document: the page's scripts."""
    script = files("rim.app").joinpath("static/page.js").read_text(encoding="utf-8")
    return f"<script>{script}</script>"


def style() -> str:
    """The page's own style sheet."""
    return files("rim.app").joinpath("static/page.css").read_text(encoding="utf-8")


def theme() -> gr.themes.Base:
    """Colours, and fonts that every system has: nothing is fetched."""
    return gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="slate",
        font=[gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")],
        font_mono=[gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")],
    )


def _part(name: str, value: dict[str, Any], *events: str) -> gr.HTML:
    """One of the parts of `static/page.js`, which draws a value and triggers events."""
    known = ", ".join(f"'{event}'" for event in events)
    return gr.HTML(
        value,
        html_template=_ROOT,
        js_on_load=f"rimApp.{name}({{element, props, trigger, watch, upload}}); /* {known} */",
        elem_id=f"rim-{name}",
    )


class _Controls:
    """The parts on the left."""

    matcher: gr.Radio
    background: gr.Radio
    cosine: gr.Slider
    filter: gr.Checkbox
    categories: gr.Dropdown
    name: gr.Textbox
    images: gr.Slider
    keep: gr.Checkbox
    attempt: gr.Button
    trials: gr.HTML


def _controls(state: State) -> _Controls:
    parts = _Controls()
    background = state.choice.background
    own_cosine = isinstance(background, float)
    with gr.Group():
        parts.categories = gr.Dropdown(
            list(state.bank.categories),
            value=[],
            multiselect=True,
            label="Categories",
            info="None chosen: all take part",
            elem_id="rim-categories",
        )
        parts.matcher = gr.Radio(
            _MATCHERS, value=state.choice.matcher, label="Matcher", elem_id="rim-matcher"
        )
        parts.background = gr.Radio(
            _BACKGROUNDS,
            value=_COSINE if own_cosine else str(background),
            label="Background",
            info="Below this similarity a region stays unlabelled",
            elem_id="rim-background",
        )
        parts.cosine = gr.Slider(
            -1,
            1,
            value=background if isinstance(background, float) else 0.5,
            step=0.01,
            label="Least cosine",
            visible=own_cosine,
            elem_id="rim-cosine",
        )
        parts.filter = gr.Checkbox(
            value=state.choice.filter,
            label="Drop categories under 1 % of the photo",
            elem_id="rim-filter",
        )
    with gr.Group():
        most = max(1, min(_MOST_TRIED, state.bank.images_per_category))
        parts.name = gr.Textbox(
            label="Try a new category",
            placeholder="name, synonym",
            max_lines=1,
            elem_id="rim-new-name",
        )
        parts.images = gr.Slider(
            1, max(2, most), value=min(_TRIED, most), step=1, label="Images", elem_id="rim-images"
        )
        parts.keep = gr.Checkbox(
            label="Keep it: add it to the bank for good",
            info=f"with {state.bank.images_per_category} images, as the others have",
        )
        parts.attempt = gr.Button("Try it", variant="primary", elem_id="rim-attempt")
    parts.trials = _part("trials", trials_payload(state), "keep", "drop")
    return parts


def _values(shown: Shown) -> Outputs:
    """For the parts that all actions fill, in their order."""
    categories = gr.update(choices=list(shown.names), value=list(shown.chosen))
    return shown.head, shown.viewer, shown.why, shown.trials, categories


def _reporter(progress: gr.Progress) -> Callable[[BuildProgress], None]:
    """Shows a build's progress."""
    progress(0, desc="loading the models")

    def report(event: BuildProgress) -> None:
        words = f"{stage_words(event)}: {event.accepted} accepted, {event.rejected} rejected"
        progress((event.done, event.total), desc=words, unit="images")

    return report
