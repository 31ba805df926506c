"""What a bank holds after a build."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc

from schemas.ids import FOREGROUND, unpack_feature_ids, unpack_image_ids
from schemas.store.bank import StoredBank


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


def describe_bank(bank: StoredBank, *, changed: bool, reused_shards: int) -> BuildReport:
    """The report on a committed version; reads facts and ids, no pixels and no embeddings."""
    facts = bank.images_table(["image_id", "status"])
    counts = {row["values"]: row["counts"] for row in pc.value_counts(facts["status"]).to_pylist()}
    failed = facts.filter(pc.field("status") == "failed")["image_id"].to_pylist()
    features = bank.feature_rows().feature_id
    image_id, role = unpack_feature_ids(features)
    found = set(unpack_image_ids(image_id[role == FOREGROUND]).category_id.tolist())
    return BuildReport(
        images=facts.num_rows,
        accepted=counts.get("accepted", 0),
        rejected=counts.get("rejected", 0),
        failed=counts.get("failed", 0),
        features=len(features),
        failed_images=tuple(failed),
        categories_without_feature=tuple(
            record.name for record in bank.categories if record.category_id not in found
        ),
        version=bank.manifest.version,
        changed=changed,
        reused_shards=reused_shards,
    )
