"""Train the denoiser of the miniature Stable Diffusion pipeline (diffusers' UNet2DConditionModel).

Trained on the latents of single images under the frozen autoencoder and the frozen text encoder
of the miniature CLIP, with v-prediction (Salimans and Ho, 2022), a noise schedule that ends in
pure noise and min-SNR loss weights (Hang et al., 2023). One caption in ten is empty, for
classifier-free guidance. Exports the whole pipeline folder.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from miniature.training.loop import (
    Ema,
    Run,
    TrainingSettings,
    adamw,
    common_arguments,
    settings_of,
)
from miniature.training.singles import single_arguments, single_pool
from miniature.training.train_autoencoder import centred
from miniature.world import CATEGORIES, plain_caption

log = logging.getLogger("miniature")

_EMPTY_SHARE = 0.1
_PLAIN_SHARE = 0.4
_SNR_CAP = 5.0


def denoiser(text_width: int) -> UNet2DConditionModel:
    """Three levels (16, 8 and 4 latent pixels wide), all with cross-attention."""
    channels = (64, 128, 160)
    return UNet2DConditionModel(
        sample_size=16,
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        block_out_channels=channels,
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=[width // 32 for width in channels],  # diffusers reads it as head counts
        norm_num_groups=16,
        use_linear_projection=True,
    )


def noise_schedule() -> DDIMScheduler:
    """The schedule of training and sampling."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,  # unused by trailing steps; the pipeline insists on it
    )


@torch.no_grad()
def latents_of(vae: AutoencoderKL, images: np.ndarray, settings: TrainingSettings) -> torch.Tensor:
    """Scaled latents (2N, 4, 16, 16) float16 of the images and, after them, their mirror images."""
    encoded = []
    for mirrored in (False, True):
        for start in range(0, len(images), 128):
            batch = images[start : start + 128]
            batch = np.ascontiguousarray(batch[:, :, ::-1]) if mirrored else batch
            with torch.autocast(torch.device(settings.device).type, torch.bfloat16, settings.bf16):
                posterior = vae.encode(centred(batch, settings.device)).latent_dist
            encoded.append((posterior.mean.float() * vae.config.scaling_factor).half().cpu())
    return torch.cat(encoded)


class Captions:
    """Text embeddings (T, D) of captions under the frozen encoder, each computed once."""

    def __init__(self, clip: Path, device: str) -> None:
        self.tokenizer = CLIPTokenizer.from_pretrained(clip)
        self.encoder = CLIPTextModel.from_pretrained(clip, torch_dtype=torch.float32).to(device)
        self.encoder.eval().requires_grad_(False)
        self._known: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def __call__(self, captions: list[str]) -> torch.Tensor:
        missing = sorted(set(captions) - set(self._known))
        if missing:
            tokens = self.tokenizer(missing, padding="max_length", return_tensors="pt")
            embedded = self.encoder(tokens.input_ids.to(self.encoder.device))[0]
            self._known.update(zip(missing, embedded, strict=True))
        return torch.stack([self._known[caption] for caption in captions])


def export_pipeline(
    unet: UNet2DConditionModel, vae: Path, captions: Captions, folder: Path
) -> None:
    """Writes the pipeline folder: UNet and text encoder in half precision, and the autoencoder."""
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(vae),
        text_encoder=captions.encoder,
        tokenizer=captions.tokenizer,
        unet=unet,
        scheduler=noise_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    dtypes = [(module, next(module.parameters()).dtype) for module in (unet, captions.encoder)]
    temporary = folder.with_name(folder.name + ".new")
    pipeline.to(torch.float16).save_pretrained(temporary)
    for module, dtype in dtypes:
        module.to(dtype)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and exports; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    export = Path("data/miniature/text-to-image")
    common_arguments(parser, export=export, steps=60000, batch=32, rate=5e-4)
    single_arguments(parser)
    parser.add_argument("--clip", type=Path, default=Path("data/miniature/clip"))
    parser.add_argument("--vae", type=Path, required=True, help="folder of the trained autoencoder")
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    device = settings.device

    captions = Captions(options.clip, device)
    unet = denoiser(captions.encoder.config.hidden_size).to(device)
    if device == "cpu":
        # Written-out attention: the fused kernel is several times slower to train in bf16 on a CPU.
        unet.set_attn_processor(AttnProcessor())
    optimiser, ema = adamw(unet, settings.rate, decay=0.01), Ema(unet, decay=0.9995)
    run = Run(settings, {"unet": unet, "optimiser": optimiser, "ema": ema})

    pool = single_pool(options.pool, options.images)
    vae = AutoencoderKL.from_pretrained(options.vae, torch_dtype=torch.float32).to(device)
    cache = settings.work / "latents.pt"
    if not cache.exists():
        torch.save(latents_of(vae, pool.images, settings), cache)
    latents = torch.load(cache, weights_only=True).to(device)
    labels = np.tile(pool.labels, 2)
    texts = np.tile(pool.captions, 2)
    alphas = noise_schedule().alphas_cumprod.to(device)
    log.info("%.1f M parameters", sum(p.numel() for p in unet.parameters()) / 1e6)

    exported = run.seconds
    for _ in run.steps():
        chosen = run.rng.integers(0, len(latents), settings.batch)
        kinds = run.rng.random(settings.batch)
        prompts = [
            ""
            if kind < _EMPTY_SHARE
            else plain_caption(CATEGORIES[labels[i]])
            if kind < _EMPTY_SHARE + _PLAIN_SHARE
            else str(texts[i])
            for i, kind in zip(chosen, kinds, strict=True)
        ]
        clean = latents[torch.from_numpy(chosen).to(device)].float()
        noise = torch.randn_like(clean)
        times = torch.randint(0, len(alphas), (settings.batch,), device=device)
        signal = alphas[times].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        velocity = signal.sqrt() * noise - (1 - signal).sqrt() * clean
        with run.autocast():
            predicted = unet(noisy, times, captions(prompts)).sample.float()
        ratio = (alphas[times] / (1 - alphas[times])).clamp(max=1e4)
        weight = ratio.clamp(max=_SNR_CAP) / (ratio + 1)
        error = (predicted - velocity).pow(2).mean((1, 2, 3))
        # At pure noise the weight of the v-loss is zero: a small floor trains the first step too.
        loss = (error * weight.clamp(min=0.1)).mean()
        run.update(loss, unet, optimiser, ema, most_norm=1.0)
        run.record(loss=loss.detach(), error=error.detach().mean())
        if run.export_due(exported):
            exported = run.seconds
            export_pipeline(ema.module, options.vae, captions, settings.export)
    export_pipeline(ema.module, options.vae, captions, settings.export)


if __name__ == "__main__":
    main()
