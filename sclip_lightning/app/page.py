"""The page: what stands where, and which change computes what."""

import html
import shutil
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from sclip_lightning.app.viewer import CSS, HTML, JAVASCRIPT, heat_of, picture_of
from sclip_lightning.app.workbench import Request, Workbench
from sclip_lightning.errors import SclipError, message_of

__all__ = ["PAGE_CSS", "Texts", "build_page", "theme"]

R = TypeVar("R")

#: Folders with files to download that are kept: a browser may still be fetching the last ones.
DOWNLOADS = 8

#: What can be downloaded.
KINDS = ("labels", "overlay")

PAGE_CSS = """
.gradio-container { max-width: 1500px !important; margin: 0 auto; }
.sclip-head h1 { margin: 0 0 2px; font-size: 24px; }
.sclip-head p { margin: 0; color: var(--body-text-color-subdued); }
"""


class Texts:
    """What the page says about itself.

    Args:
        weights: Of which network, in a few words.
        classes: What stands in the box at the start.
        note: A sentence that the user should read; may be empty.
    """

    def __init__(self, weights: str, classes: str, note: str = "") -> None:
        self.weights = weights
        self.classes = classes
        self.note = note


def theme() -> Any:
    """Colours and fonts: those of the user's system, since others would be fetched from the network."""
    system, fixed = ["system-ui", "Segoe UI", "Roboto", "sans-serif"], ["ui-monospace", "Consolas", "monospace"]
    return gr.themes.Soft(primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=system, font_mono=fixed)


def build_page(workbench: Workbench, texts: Texts, folder: Path, examples: Sequence[Path] = ()) -> Any:
    """Build the page.

    Args:
        workbench: What computes.
        texts: What the page says.
        folder: For files to download; it goes with the process.
        examples: Image files to choose from.
    """
    methods = list(workbench.choices.methods)
    first = methods[0]
    scale, threshold, has_background = _said(
        lambda: workbench.published(Request("", texts.classes or "this, that", method=first))
    )
    numbers = count()

    def parts_on(method: str) -> list[str]:
        on = set(workbench.choices.parts_on(method))
        return [title for title in workbench.parts if title in on]

    def request(*values: Any) -> Request:
        image, classes, background, method, parts, threshold, scale = values
        return Request(image or "", classes or "", background, method, tuple(parts), threshold, scale)

    def segment(*values: Any) -> tuple[Any, Any, Any, Any, Any]:
        asked = request(*values)
        if not asked.image:
            return gr.HTML(value={}, heat={}), None, gr.skip(), gr.skip(), gr.skip()
        answer = _said(lambda: workbench.segment(asked))
        has_background = answer.prediction.has_background
        ready = gr.Button(interactive=True)
        return gr.HTML(value=picture_of(answer), heat={}), asked, gr.Slider(interactive=has_background), ready, ready

    def settle(*values: Any) -> tuple[Any, Any]:
        """Published numbers for another method or background."""
        asked = request(*values)
        if not asked.classes.strip():
            return gr.skip(), gr.skip()
        scale, threshold, has_background = _said(lambda: workbench.published(asked))
        return gr.Slider(value=threshold, interactive=has_background), gr.Slider(value=scale)

    def choose(method: str) -> Any:
        return gr.CheckboxGroup(value=parts_on(method))

    def heat(asked: Request | None, event: gr.EventData) -> Any:
        if asked is None:
            return gr.skip()
        index = int(event._data["index"])
        return gr.HTML(heat=heat_of(index, _said(lambda: workbench.probability(asked, index))))

    def written(kind: str) -> Callable[[Request | None], str | None]:
        def write(asked: Request | None) -> str | None:
            if asked is None:
                return None
            prediction = _said(lambda: workbench.segment(asked)).prediction
            number = next(numbers)
            shutil.rmtree(folder / str(number - DOWNLOADS), ignore_errors=True)
            name = Path(asked.image).stem[:60] or "image"
            path = folder / str(number) / f"{name}-{kind}.png"
            path.parent.mkdir(parents=True)
            if kind == "labels":
                prediction.save(path)
            else:
                prediction.overlay(name).save(path, format="PNG")
            return str(path)

        return write

    with gr.Blocks(title="sclip", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as page:
        asked = gr.State(None)
        gr.HTML(_heading(texts), elem_classes="sclip-head")
        with gr.Row():
            with gr.Column(scale=1, min_width=340):
                image = gr.Image(
                    value=str(examples[0]) if examples else None,
                    label="Image",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=210,
                    elem_id="image",
                )
                # The file as it came, which Gradio has made sure is an uploaded one: what is wrong with it we say.
                image.preprocess = lambda payload: None if payload is None else payload.path
                with gr.Group():
                    classes = gr.Textbox(
                        texts.classes,
                        label="Classes",
                        info="grass=lawn|meadow gives grass two synonyms",
                        placeholder="cat, grass=lawn|meadow, sky",
                        lines=2,
                        max_lines=5,
                        elem_id="classes",
                    )
                    background = gr.Checkbox(label="Background: none of these", container=True, elem_id="background")
                go = gr.Button("Segment", variant="primary", elem_id="segment")
                with gr.Group():
                    method = gr.Dropdown(methods, value=first, label="Method", elem_id="method")
                    parts = gr.CheckboxGroup(workbench.parts, value=parts_on(first), label="Parts", elem_id="parts")
                    limit = gr.Slider(
                        0,
                        1,
                        value=threshold,
                        step=0.01,
                        label="Threshold",
                        info="Pixels less certain become background, where there is one",
                        interactive=has_background,
                        elem_id="threshold",
                    )
                    factor = gr.Slider(
                        1,
                        200,
                        value=scale,
                        step=1,
                        label="Logit scale",
                        info="1 / temperature: more makes probabilities more certain",
                        elem_id="scale",
                    )
            with gr.Column(scale=3, min_width=480):
                viewer = gr.HTML(
                    {}, html_template=HTML, css_template=CSS, js_on_load=JAVASCRIPT, heat={}, elem_id="viewer"
                )
                with gr.Row(equal_height=True):
                    buttons = [
                        gr.Button(f"Download {kind}", interactive=False, size="sm", elem_id=f"make-{kind}")
                        for kind in KINDS
                    ]
                links = [gr.DownloadButton(visible="hidden", elem_id=f"get-{kind}") for kind in KINDS]
                if examples:
                    gr.Examples([[str(path)] for path in examples], [image], label="Examples", cache_examples=False)

        given = [image, classes, background, method, parts, limit, factor]
        shown = [viewer, asked, limit, *buttons]
        one = {"concurrency_id": "network", "concurrency_limit": 1, "show_progress_on": viewer}
        last = {**one, "trigger_mode": "always_last"}
        image.change(segment, given, shown, **last).failure(lambda: gr.HTML(value={}, heat={}), None, viewer)
        changed = [page.load, classes.submit, go.click, parts.input, limit.input, factor.input]
        gr.on(changed, segment, given, shown, **last)
        background.input(settle, given, [limit, factor], **one).then(segment, given, shown, **one)
        chosen = method.input(choose, method, parts, **one)
        chosen.then(settle, given, [limit, factor], **one).then(segment, given, shown, **one)
        viewer.pick(heat, asked, viewer, **last)
        for kind, button, link in zip(KINDS, buttons, links, strict=True):
            click = f"() => setTimeout(() => document.querySelector('#get-{kind}').click(), 50)"
            button.click(written(kind), asked, link, **one).then(None, None, None, js=click)
    return page.queue(max_size=32, default_concurrency_limit=1, api_open=False)


def _said(compute: Callable[[], R]) -> R:
    """Our errors as the page's; whatever is in them is shown as text."""
    try:
        return compute()
    except SclipError as error:
        raise gr.Error(html.escape(message_of(error), quote=False), duration=None, print_exception=False) from error


def _heading(texts: Texts) -> str:
    note = f" {html.escape(texts.note)}" if texts.note else ""
    return f"<h1>sclip</h1><p>Segments an image into classes that you name. {html.escape(texts.weights)}.{note}</p>"
