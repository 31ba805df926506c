"""Steps that compare rim's results with each library's own, on this machine and with its weights.

What a model must say need not be known for that: both ways load the same files and look at the same
image, and only rim's own code differs. So a miss means that rim's results are wrong here. The
bounds leave room for half precision on a GPU, which was not measured; on a CPU the miniature stack
and swapped channels, another normalisation and so on lie on either side of them (see the tests).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foundation.images.reading import read_image
from rim.check.findings import Finding, NotApplicable, ReportImage
from rim.check.workbench import Workbench
from schemas.errors import ModelError

MIN_TOKEN_COSINE: Final = 0.995
"""Of all but the worst twentieth of the patches."""
MIN_EMBEDDED_COSINE: Final = 0.99
"""Of SAM's image embedding, median over its places: it shows errors that SAM's masks hardly do."""
MIN_MASK_IOU: Final = 0.9
"""Mean over masks, weighted by their area."""
MAX_QUALITY_DIFFERENCE: Final = 0.05
"""Mean over masks."""
MAX_PIXEL_DIFFERENCE: Final = 8.0
"""Mean over pixels and channels, of 255."""
MIN_ATTENTION_CORRELATION: Final = 0.97
MAX_ATTENTION_RATIO: Final = 1.1
"""Between the means of the two maps, whichever is larger."""
MIN_EMBEDDING_COSINE: Final = 0.98

STEPS: Final = 2
"""Denoising steps of the image that is made both ways."""
SEED: Final = 5
# Off the centre, x and y far from each other; fractions of width and height.
_POINTS: Final = ((0.9, 0.1), (0.12, 0.75), (0.6, 0.15), (0.85, 0.55))


def read_photos(bench: Workbench) -> Finding:
    """Compares the pixels of every photograph as rim and as skimage.io read them."""
    from skimage.io import imread

    different = []
    for photo in bench.data.photos:
        own = read_image(photo.check_file())
        library = imread(photo.path)
        if library.ndim == 2:
            library = np.repeat(library[:, :, None], 3, axis=2)
        if own.shape[:2] != photo.size or not np.array_equal(own, library):
            different.append(photo.file)
    if different:
        return Finding(f"other pixels than skimage.io in {', '.join(different)}", fine=False)
    return Finding(f"{len(bench.data.photos)} photographs, the same pixels as skimage.io")


def features(bench: Workbench) -> Finding:
    """Compares the patch tokens of a photograph with transformers' own."""
    from rim.check.by_transformers import patch_tokens

    photo = bench.photo()
    own = bench.stack.features.extract([photo])[0]
    folder = bench.stack.path("features")
    # One of the two models at a time.
    bench.stack.free("features")
    size = bench.settings.features.size
    with _memory_may_be_short():
        library = patch_tokens(folder, photo, size, bench.stack.device)
    if own.shape != library.shape:
        return Finding(f"tokens {own.shape}, transformers {library.shape}", fine=False)
    cosine = _cosine(own, library)
    low = float(np.quantile(cosine, 0.05))
    return Finding(
        f"cosine {low:.4f} (median {np.median(cosine):.4f})",
        low >= MIN_TOKEN_COSINE,
        {"cosine_5_percent": low, "cosine_median": float(np.median(cosine))},
        (
            ReportImage(
                "tokens", "cosine of every patch, black 0.9, white 1", _grey(cosine, 0.9, 1)
            ),
        ),
    )


def masks(bench: Workbench) -> Finding:
    """Compares SAM's embedding of a photograph and its masks with segment-anything's own."""
    from rim.check.by_segment_anything import Predicted, predict

    photo = bench.photo()
    height, width = photo.shape[:2]
    points = np.array([(x * width, y * height) for x, y in _POINTS], np.float32)
    segmenter = bench.stack.segmenter
    embedding = segmenter.embed(photo)
    candidates = segmenter.predict(embedding, points[:, None])
    own = Predicted(
        embedding=embedding.features[0].float().cpu().numpy(),
        masks=np.stack([segmenter.upsample(embedding, one) for one in candidates.logits]),
        quality=candidates.predicted_iou.float().cpu().numpy(),
    )
    checkpoint = bench.stack.path("segmenter")
    # One of the two models at a time.
    del segmenter, embedding, candidates
    bench.stack.free("segmenter")
    source = bench.settings.models.segmenter
    with _memory_may_be_short():
        library = predict(source, checkpoint, photo, points, bench.stack.device)
    cosine = float(np.median(_cosine(own.embedding.T, library.embedding.T)))
    union = np.count_nonzero(own.masks | library.masks)
    overlap = np.count_nonzero(own.masks & library.masks) / union if union else 1.0
    difference = float(np.abs(own.quality - library.quality).mean())
    return Finding(
        f"embedding's cosine {cosine:.4f}, IoU {overlap:.3f}, quality differs by {difference:.3f}",
        cosine >= MIN_EMBEDDED_COSINE
        and overlap >= MIN_MASK_IOU
        and difference <= MAX_QUALITY_DIFFERENCE,
        {"embedding_cosine": cosine, "iou": overlap, "quality_difference": difference},
        (
            ReportImage("masks-rim", "rim's masks of one point", _three(photo, own.masks[0])),
            ReportImage("masks-sam", "SamPredictor's", _three(photo, library.masks[0])),
        ),
    )


def generation(bench: Workbench) -> Finding:
    """Compares an image of two steps and its category's attention with a plain pipeline's."""
    from rim.check.by_diffusers import PlainPipeline

    prompt = bench.prompt()
    own = bench.stack.text_to_image.shortened(STEPS).generate([prompt], [SEED])[0]
    folder = bench.stack.path("text_to_image")
    bench.stack.free("text_to_image")
    with _memory_may_be_short():
        plain = PlainPipeline(folder, bench.settings.generation, STEPS, bench.stack.device)
        image = plain.image(prompt, SEED)
        attention = plain.attention(prompt, SEED)
    if own.image.shape != image.shape or own.attention.shape != attention.shape:
        return Finding(
            f"image {own.image.shape} and attention {own.attention.shape}, diffusers "
            f"{image.shape} and {attention.shape}",
            fine=False,
        )
    pixels = float(np.abs(own.image.astype(np.int16) - image).mean())
    correlation = float(np.corrcoef(own.attention.ravel(), attention.ravel())[0, 1])
    ratio = float(own.attention.mean() / attention.mean())
    fine = (
        pixels <= MAX_PIXEL_DIFFERENCE
        and correlation >= MIN_ATTENTION_CORRELATION
        and 1 / MAX_ATTENTION_RATIO <= ratio <= MAX_ATTENTION_RATIO
    )
    return Finding(
        f"pixels differ by {pixels:.1f} of 255, attention correlates by {correlation:.4f}, its "
        f"mean is {ratio:.3f} of it",
        fine,
        {"pixel_difference": pixels, "correlation": correlation, "ratio": ratio},
        (
            ReportImage("generated-rim", f"{prompt.text!r} after {STEPS} steps, rim", own.image),
            ReportImage("generated-diffusers", "a plain pipeline call", image),
            ReportImage("attention-rim", "attention, rim", _scaled(own.attention)),
            ReportImage("attention-diffusers", "all probabilities", _scaled(attention)),
        ),
    )


def text_image(bench: Workbench) -> Finding:
    """Compares CLIP's embeddings with transformers' own, where CLIP is on this machine."""
    from foundation.stack import ModelStack
    from rim.check.by_transformers import image_and_text_embeddings

    stack = ModelStack(bench.settings, str(bench.stack.device), offline=True)
    try:
        folder = stack.path("text_image")
    except ModelError as error:
        raise NotApplicable(
            "not on this machine; only text evidence and compare-labels need it"
        ) from error
    photo = bench.photo()
    # The square in the middle, which both ways look at.
    side = min(photo.shape[:2])
    top, left = ((length - side) // 2 for length in photo.shape[:2])
    square = np.ascontiguousarray(photo[top : top + side, left : left + side])
    texts = [f"a photo of a {one.name}" for one in bench.categories]
    own_image = stack.text_image.embed_images([square])[0]
    own_texts = stack.text_image.embed_texts(texts)
    stack.free("text_image")
    with _memory_may_be_short():
        image, library = image_and_text_embeddings(folder, square, texts, stack.device)
    of_image = float(_cosine(own_image, image))
    of_texts = float(_cosine(own_texts, library).min())
    return Finding(
        f"cosine of an image {of_image:.4f}, of texts {of_texts:.4f}",
        min(of_image, of_texts) >= MIN_EMBEDDING_COSINE,
        {"cosine_image": of_image, "cosine_texts": of_texts},
    )


@contextmanager
def _memory_may_be_short() -> Iterator[None]:
    """Raises NotApplicable where a library's own way does not fit into the memory.

    It runs in float32, so that says nothing about rim.
    """
    from foundation.memory import is_out_of_memory

    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise NotApplicable("the library's own way does not fit into the memory") from error


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosines of two arrays' (..., d) last axes; 0 where one has no length."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosine: NDArray[np.float32] = (a * b).sum(-1) / np.maximum(norms, 1e-12)
    return cosine


def _scaled(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A map (h, w) from its smallest to its largest value, uint8 (H, W, 3)."""
    return _grey(values, float(values.min()), float(values.max()))


def _grey(values: NDArray[np.floating], black: float, white: float) -> NDArray[np.uint8]:
    """A map (h, w), enlarged to about 256 pixels, uint8 (H, W, 3)."""
    shown = np.clip((values - black) / max(white - black, 1e-12), 0, 1)
    times = max(1, 256 // max(values.shape))
    grey = (255 * shown).astype(np.uint8).repeat(times, 0).repeat(times, 1)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _three(photo: NDArray[np.uint8], found: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A photo with three masks (3, H, W), side by side."""
    shown = [np.where(mask[:, :, None], photo, photo // 4) for mask in found]
    return np.concatenate(shown, axis=1)
