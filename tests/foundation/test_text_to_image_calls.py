"""How often a scheduler has the UNet called, against calls that are counted."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
from diffusers import PNDMScheduler

from foundation.interfaces import Prompt
from foundation.text_to_image import DiffusersTextToImage, unet_calls
from schemas.errors import SettingsError
from tests.foundation.conftest import make_consistency_pipeline, make_pipeline, make_xl_pipeline

HOUSE = Prompt("a photo of a house", 13, 18)
OF_STABLE_DIFFUSION: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
}
SD15 = PNDMScheduler(**OF_STABLE_DIFFUSION, skip_prk_steps=True, set_alpha_to_one=False)
WITH_RUNGE_KUTTA = PNDMScheduler(**OF_STABLE_DIFFUSION)
OTHERS = (
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "HeunDiscreteScheduler",
    "UniPCMultistepScheduler",
)
# diffusers gives numpy tensors to copy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def counted(pipeline: Any, steps: int) -> tuple[int, int]:
    """The calls that are told, and those that a run makes."""
    model = DiffusersTextToImage(pipeline, steps, 7.5, 16, 16)
    calls: list[None] = []
    handle = pipeline.unet.register_forward_pre_hook(lambda *_: calls.append(None))
    model.generate([HOUSE], [0])
    handle.remove()
    return model.calls, len(calls)


@pytest.mark.parametrize(
    ("scheduler", "steps"),
    [(SD15, 1), (SD15, 2), (SD15, 3), (SD15, 12), (WITH_RUNGE_KUTTA, 4), (WITH_RUNGE_KUTTA, 6)],
)
def test_the_calls_of_pndm_are_those_of_a_run(scheduler: PNDMScheduler, steps: int) -> None:
    pipeline = make_pipeline()
    pipeline.scheduler = scheduler
    told, made = counted(pipeline, steps)
    assert told == made


@pytest.mark.parametrize("name", OTHERS)
def test_the_calls_of_a_scheduler_are_those_of_a_run(name: str) -> None:
    pipeline = make_pipeline()
    pipeline.scheduler = getattr(diffusers, name)(**OF_STABLE_DIFFUSION)
    for steps in (1, 2, 5):
        told, made = counted(pipeline, steps)
        assert told == made


@pytest.mark.parametrize("make", [make_xl_pipeline, make_consistency_pipeline])
def test_the_calls_of_other_pipelines(make: Any) -> None:
    told, made = counted(make(), 3)
    assert told == made == 3


def test_stable_diffusion_and_heun_by_what_is_published() -> None:
    assert [unet_calls(SD15, steps) for steps in (1, 3, 50)] == [1, 4, 51]
    heun = diffusers.HeunDiscreteScheduler(**OF_STABLE_DIFFUSION)
    assert unet_calls(heun, 50) == 2 * 50 - 1


def test_counting_leaves_the_scheduler_as_it_is() -> None:
    scheduler = PNDMScheduler(**OF_STABLE_DIFFUSION, skip_prk_steps=True)
    scheduler.set_timesteps(7)
    before = scheduler.timesteps.tolist()
    unet_calls(scheduler, 50)
    assert scheduler.timesteps.tolist() == before


def test_a_trial_is_as_short_as_the_scheduler_can() -> None:
    pipeline = make_pipeline()
    assert DiffusersTextToImage(pipeline, 50, 7.5, 16, 16).shortened(1).steps == 1
    pipeline.scheduler = WITH_RUNGE_KUTTA
    model = DiffusersTextToImage(pipeline, 50, 7.5, 16, 16)
    short = model.shortened(1)
    assert (short.steps, short.calls) == (4, 13)
    (image,) = short.generate([HOUSE], [0])
    assert image.image.shape == (16, 16, 3)
    assert model.shortened(60).steps == 60


def test_steps_that_a_scheduler_cannot_do_are_refused_at_once() -> None:
    pipeline = make_pipeline()
    pipeline.scheduler = WITH_RUNGE_KUTTA
    with pytest.raises(SettingsError, match=r"generation.steps: .* PNDMScheduler can do, found 2"):
        DiffusersTextToImage(pipeline, 2, 7.5, 16, 16)
    with pytest.raises(SettingsError, match=r"LCMScheduler can do, found 51"):
        DiffusersTextToImage(make_consistency_pipeline(), 51, 7.5, 16, 16)
