"""The steps of `rim check`, in order, and running them one after the other."""

from __future__ import annotations

import logging
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rim.check import agreement, meaning
from rim.check.findings import Finding, NotApplicable, Outcome, StepResult
from rim.check.photos import read_check_data
from rim.check.workbench import Workbench, choose_categories
from schemas.settings import Settings

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One line of the table. on_miss: what it means if the finding is not fine."""

    name: str
    run: Callable[[Workbench], Finding]
    expected: str
    on_miss: Outcome


_LIBRARIES: Final = ("torch", "torchvision", "transformers", "diffusers", "segment_anything")
_VERSIONED: Final = _LIBRARIES[:-1]  # segment-anything does not state its version


def _import(bench: Workbench) -> Finding:
    """Imports the libraries of the models, which takes long and fails where they do not fit."""
    for name in _LIBRARIES:
        import_module(name)
    # Their classes are imported only when they are used.
    import_module("transformers").AutoModel  # noqa: B018
    import_module("diffusers").StableDiffusionPipeline  # noqa: B018
    return Finding(", ".join(f"{name} {import_module(name).__version__}" for name in _VERSIONED))


def _load(role: str) -> Callable[[Workbench], Finding]:
    def load(bench: Workbench) -> Finding:
        getattr(bench.stack, role)
        return Finding(f"{getattr(bench.settings.models, role).location} on {bench.stack.device}")

    return load


AGREEMENT: Final = (
    Step(
        "read photographs", agreement.read_photos, "the same pixels as skimage.io", Outcome.BROKEN
    ),
    Step(
        "features = transformers",
        agreement.features,
        f"cosine at least {agreement.MIN_TOKEN_COSINE}",
        Outcome.BROKEN,
    ),
    Step(
        "masks = SamPredictor",
        agreement.masks,
        f"cosine at least {agreement.MIN_EMBEDDED_COSINE}, IoU at least "
        f"{agreement.MIN_MASK_IOU}, quality within {agreement.MAX_QUALITY_DIFFERENCE}",
        Outcome.BROKEN,
    ),
    Step(
        "image, attention = diffusers",
        agreement.generation,
        f"pixels within {agreement.MAX_PIXEL_DIFFERENCE:g}, correlation at least "
        f"{agreement.MIN_ATTENTION_CORRELATION}, mean within {agreement.MAX_ATTENTION_RATIO} times",
        Outcome.BROKEN,
    ),
    Step(
        "text and image = CLIP",
        agreement.text_image,
        f"cosine at least {agreement.MIN_EMBEDDING_COSINE}",
        Outcome.BROKEN,
    ),
)
MEANING: Final = (
    Step(
        "build a small bank",
        meaning.build,
        f"at least {meaning.MIN_ACCEPTED:.0%} accepted, one of every category, none failed",
        Outcome.LOOKS_WRONG,
    ),
    Step(
        "attention on the object",
        meaning.attention,
        f"at least {meaning.MIN_LIFT} times as dense, IoU at least {meaning.MIN_AGREEMENT}, the "
        "preset's min_quality",
        Outcome.LOOKS_WRONG,
    ),
    Step("stuff and things", meaning.stuff, "stuff covers more", Outcome.LOOKS_WRONG),
    Step(
        "features by category",
        meaning.structure,
        f"at least {meaning.MIN_OWN_NEIGHBOUR:.0%}, closer within",
        Outcome.LOOKS_WRONG,
    ),
    Step(
        "label photographs",
        meaning.photographs,
        f"mean IoU at least {meaning.MIN_PHOTO_IOU}",
        Outcome.LOOKS_WRONG,
    ),
)
IMPORTING: Final = Step("import libraries", _import, "all there", Outcome.BROKEN)
LOADING: Final = tuple(
    Step(f"load {role}", _load(role), "loads", Outcome.BROKEN)
    for role in ("features", "segmenter", "text_to_image")
)
STEPS: Final = (IMPORTING, *LOADING, *AGREEMENT, *MEANING)


def run_check(
    settings: Settings,
    *,
    device: str,
    offline: bool,
    on_start: Callable[[str], None] = lambda name: None,
    on_step: Callable[[StepResult], None] = lambda result: None,
    progress: Callable[[str], None] = lambda what: None,
    steps: Sequence[Step] = STEPS,
) -> list[StepResult]:
    """Runs steps one after the other; one that fails does not keep the others from running.

    Args:
        settings: of `workbench.check_settings`.
        device, offline: as everywhere.
        on_start, on_step: called before and after each step.
        progress: called while a long step runs, with what is being done.
        steps: some of `STEPS`, in their order.

    Raises:
        UsageError: torch does not have the device.
    """
    from foundation.stack import ModelStack

    data = read_check_data()
    stack = ModelStack(settings, device, offline)
    results = []
    with tempfile.TemporaryDirectory(prefix="rim-check-") as folder:
        bench = Workbench(
            settings, stack, Path(folder), data, choose_categories(settings, data), None, progress
        )
        for step in steps:
            on_start(step.name)
            results.append(_run(step, bench))
            on_step(results[-1])
    return results


def _run(step: Step, bench: Workbench) -> StepResult:
    """One step, timed; whatever it raises becomes its result."""
    from foundation.memory import give_back

    device = bench.stack.device
    give_back()  # what the step before has left
    _forget_peak(device)
    started = time.perf_counter()
    trace = ""
    try:
        finding = step.run(bench)
        result = Outcome.FINE if finding.fine else step.on_miss
    except NotApplicable as reason:
        finding, result = Finding(str(reason)), Outcome.SKIPPED
    except Exception as error:  # every library has errors of its own, and the next steps are due
        _LOG.debug("%s failed", step.name, exc_info=True)
        said = (str(error).strip().splitlines() or ["no message"])[0]
        finding, result = Finding(f"{type(error).__name__}: {said}"), Outcome.BROKEN
        trace = traceback.format_exc()
    return StepResult(
        name=step.name,
        result=result,
        found=finding.found,
        expected=step.expected,
        seconds=time.perf_counter() - started,
        memory=_peak(device),
        numbers=finding.numbers,
        images=finding.images,
        traceback=trace,
    )


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    """Bytes: of torch on a GPU since `_forget_peak`, else of this process since it began."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
