"""What a bank holds after a build."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from schemas.bank import Bank
from schemas.ids import ROLES, unpack_image_ids

_FOREGROUND, _ = ROLES


@dataclass(frozen=True)
class BuildReport:
    """What a bank holds after a build, with all verdicts.

    images, accepted, rejected, failed: number of images, and how they fell out.
    features: number of features of accepted images, foreground and background. failed_images:
    image_ids, ascending. categories_without_feature: names of categories that no photo can be
    labelled with. version: of the manifest. changed: whether this build made that version.
    reused_shards: how many of its shards were there before this build.
    """

    images: int
    accepted: int
    rejected: int
    failed: int
    features: int
    failed_images: tuple[int, ...]
    categories_without_feature: tuple[str, ...]
    version: int
    changed: bool
    reused_shards: int


def describe_bank(bank: Bank, *, changed: bool, reused_shards: int) -> BuildReport:
    """The report on a committed version; reads facts and ids, no pixels and no embeddings."""
    facts = bank.images_table(["image_id", "status"])
    statuses = dict(zip(facts["image_id"].to_pylist(), facts["status"].to_pylist(), strict=True))
    counts = Counter(statuses.values())
    features = bank.datasets().features.to_table(columns=["image_id", "role"])
    images = [
        (image_id, role)
        for image_id, role in zip(
            features["image_id"].to_pylist(), features["role"].to_pylist(), strict=True
        )
        if statuses[image_id] == "accepted"
    ]
    foregrounds = [image_id for image_id, role in images if role == _FOREGROUND]
    found = set(unpack_image_ids(foregrounds).category_id.tolist())
    return BuildReport(
        images=len(statuses),
        accepted=counts["accepted"],
        rejected=counts["rejected"],
        failed=counts["failed"],
        features=len(images),
        failed_images=tuple(key for key, status in statuses.items() if status == "failed"),
        categories_without_feature=tuple(
            record.name for record in bank.categories if record.category_id not in found
        ),
        version=bank.manifest.version,
        changed=changed,
        reused_shards=reused_shards,
    )
