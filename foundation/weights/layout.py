"""Which files of a folder or repository make up a model: one rule for downloads and fingerprints.

Repositories hold more than what is loaded: the same weights in other formats and precisions, or
once more as a single file. What is loaded is known for two kinds of folders:

- A pipeline of diffusers has a `model_index.json` that names its parts; each is a folder of the
  same name.
- A model of transformers has `config.json` and `model.safetensors` (or its shards) side by side.

Of any other folder all weights, configurations and texts count, but for known second copies.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.errors import ModelError

INDEX = "model_index.json"
CONFIG = "config.json"
WEIGHTS = (".safetensors", ".pth", ".pt")

_FIVE = "[0-9]" * 5
_TEXTS = ("*.json", "*.txt")
# Names of weights that diffusers and transformers load where no precision is asked for.
_LOADED = tuple(
    f"{name}{part}.safetensors"
    for name in ("model", "diffusion_pytorch_model")
    for part in ("", f"-{_FIVE}-of-{_FIVE}")
)
_ALL = (*_TEXTS, "*.safetensors", "*.pth", "*.pt")
# Second copies of the same weights that some repositories hold, and hidden files.
_SECOND = ("*.fp16.*", "*non_ema*", "v1-5-pruned*", "sd_turbo.*", ".*", "*/.*")


@dataclass(frozen=True)
class Layout:
    """The files of a model, by patterns of `fnmatch` on their names relative to the folder.

    allowed, ignored: a file belongs to it by one of the first and none of the second. parts: the
    folders of a pipeline; none of another model.
    """

    allowed: tuple[str, ...] = _ALL
    ignored: tuple[str, ...] = _SECOND
    parts: tuple[str, ...] = ()

    def uses(self, name: str) -> bool:
        """Whether a file belongs to the model."""
        return any(fnmatchcase(name, pattern) for pattern in self.allowed) and not any(
            fnmatchcase(name, pattern) for pattern in self.ignored
        )

    def without_weights(self, names: Collection[str]) -> tuple[str, ...]:
        """What the files of that name lack weights for: parts of a pipeline, or "" for the model.

        A part without `config.json`, such as a tokenizer, needs none; but it needs some file.
        """
        used = [name for name in names if self.uses(name)]
        if not self.parts:
            return () if any(name.endswith(WEIGHTS) for name in used) else ("",)
        return tuple(part for part in self.parts if not _is_whole(part, used))


def layout_of(names: Collection[str], read: Callable[[str], bytes]) -> Layout:
    """The layout of a model whose folder has files of these names.

    Args:
        names: relative to the folder, with "/".
        read: gives the content of one of them.

    Raises:
        ModelError: the pipeline's index cannot be read as one.
        Exception: of `read`.
    """
    if INDEX in names:
        return _pipeline(_parts(read(INDEX)))
    if CONFIG in names and {"model.safetensors", "model.safetensors.index.json"} & set(names):
        return Layout((*_TEXTS, *_LOADED), (*_SECOND, "*/*"))
    return Layout()


def _pipeline(parts: tuple[str, ...]) -> Layout:
    folders = [glob.escape(part) for part in parts]
    allowed = [f"{folder}/{pattern}" for folder in folders for pattern in (*_TEXTS, *_LOADED)]
    deeper = [f"{folder}/*/*" for folder in folders]
    return Layout((INDEX, *allowed), (*_SECOND, *deeper), parts)


def _parts(index: bytes) -> tuple[str, ...]:
    """The parts that a pipeline's index names; a part that is not there has no class."""
    try:
        content = json.loads(index)
        entries = dict(content.items())
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{INDEX}: expected a JSON object that names a pipeline's parts, found another content"
        ) from error
    return tuple(
        name
        for name, kind in sorted(entries.items())
        if not name.startswith("_") and isinstance(kind, list) and any(kind)
    )


def _is_whole(part: str, used: Collection[str]) -> bool:
    own = [name for name in used if name.startswith(f"{part}/")]
    return bool(own) and (f"{part}/{CONFIG}" not in own or any(n.endswith(WEIGHTS) for n in own))
