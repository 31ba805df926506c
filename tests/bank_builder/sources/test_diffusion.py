"""Generated images: their seeds, and the time of one from a few short runs."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from diffusers import DDIMScheduler, HeunDiscreteScheduler, PNDMScheduler
from hypothesis import given
from hypothesis import strategies as st

from bank_builder.sources import diffusion
from bank_builder.sources.diffusion import GeneratedImages, image_seed
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
def test_time_one_tells_the_time_of_all_calls(
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
    timed = GeneratedImages(4, chosen).time_one("house", stack)
    batch = chosen.generation.batch_size
    assert timed.seconds == pytest.approx((calls * A_CALL + DECODING) / batch)
    assert timed.image.pixels.shape == (16, 16, 3)


def test_a_seed_is_the_first_63_bits_of_the_sha_256_of_its_three_parts() -> None:
    digest = hashlib.sha256(b"7\nfish\n3").hexdigest()

    assert image_seed(7, "fish", 3) == int(digest[:16], 16) >> 1


@given(st.integers(0, 2**63 - 1), st.text(min_size=1), st.integers(0, 2**24 - 1))
def test_a_seed_fits_a_signed_64_bit_column(seed: int, name: str, number: int) -> None:
    assert 0 <= image_seed(seed, name, number) < 2**63


def test_every_part_changes_the_seed() -> None:
    seeds = [image_seed(s, c, n) for s in (0, 1, 11) for c in ("fish", "car") for n in (0, 1, 11)]

    assert len(set(seeds)) == len(seeds)
