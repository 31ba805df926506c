"""The time of one picture, from a few short runs, by a clock that only the models move."""

from __future__ import annotations

from typing import Any

import pytest
from diffusers import DDIMScheduler, HeunDiscreteScheduler, PNDMScheduler

from bank_builder.sources import diffusion
from bank_builder.sources.diffusion import GeneratedImages
from foundation.text_to_image import DiffusersTextToImage
from tests.bank_builder.stand_in import StandInStack, settings
from tests.foundation.conftest import make_pipeline

A_CALL, DECODING = 3.0, 11.0  # seconds
OF_STABLE_DIFFUSION: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("scheduler", "own", "steps", "calls"),
    [
        (PNDMScheduler, {"skip_prk_steps": True}, 50, 51),
        (PNDMScheduler, {"skip_prk_steps": True}, 2, 3),
        (PNDMScheduler, {}, 50, 59),
        (PNDMScheduler, {}, 4, 13),
        (HeunDiscreteScheduler, {}, 50, 99),
        (DDIMScheduler, {}, 20, 20),
        (DDIMScheduler, {}, 1, 1),
    ],
)
def test_the_trial_tells_the_time_of_all_calls(
    scheduler: Any,
    own: dict[str, bool],
    steps: int,
    calls: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def takes(seconds: float) -> Any:
        def hook(*_: Any) -> None:
            nonlocal now
            now += seconds

        return hook

    pipeline = make_pipeline()
    pipeline.scheduler = scheduler(**OF_STABLE_DIFFUSION, **own)
    pipeline.unet.register_forward_pre_hook(takes(A_CALL))
    pipeline.vae.decoder.register_forward_pre_hook(takes(DECODING))
    monkeypatch.setattr(diffusion.time, "perf_counter", lambda: now)
    chosen = settings(steps=steps, height=16, width=16)
    stack = StandInStack()
    painter: Any = DiffusersTextToImage(pipeline, steps, 7.5, 16, 16)
    stack.text_to_image = painter
    trial = GeneratedImages(4, chosen).trial("house", stack)
    batch = chosen.generation.batch_size
    assert trial.seconds == pytest.approx((calls * A_CALL + DECODING) / batch)
    assert trial.picture.image.shape == (16, 16, 3)
