"""Commits a new version of a bank: verdicts, index and prototypes, and at last the manifest."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bank_builder.derived import write_derived
from bank_builder.output_folder import Existing
from bank_builder.plan import plan_of
from bank_builder.report import BuildReport, StageClock, describe_bank
from schemas.errors import ModelError
from schemas.ids import unpack_image_id
from schemas.manifest import BuildPlan, Manifest
from schemas.records import CategoryRecord, FileRecord, ModelRecord, ShardRecord
from schemas.sections import Reference
from schemas.store.bank import StoredBank
from schemas.store.manifests import commit_manifest, next_version, read_manifest
from schemas.store.verdicts import Verdict, read_verdicts, verdicts_folder, write_verdicts

_LIBRARIES = (
    "torch",
    "diffusers",
    "transformers",
    "segment-anything",
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
    "pyarrow",
    "faiss-cpu",
)
"""What the bytes of a bank may depend on."""

_DERIVING = ("numpy", "pyarrow", "faiss-cpu")
"""What those of a version may depend on for which no shard was made."""


def check_same_models(existing: Existing, models: Mapping[str, ModelRecord]) -> None:
    """Raises ModelError if the weights are not those that made the bank, or began it.

    Only models that both the bank and the build have use of: photos need no text-to-image model.
    """
    known = dict(existing.unfinished.fingerprints) if existing.unfinished else {}
    if existing.manifest is not None:
        known |= {role: record.fingerprint for role, record in existing.manifest.models.items()}
    for role, fingerprint in known.items():
        found = models.get(role)
        if found is not None and found.fingerprint != fingerprint:
            raise ModelError(
                f"models.{role}: expected the weights that made the bank ({found.name}, "
                f"fingerprint {fingerprint[:12]}), found {found.fingerprint[:12]}; fetch "
                "the bank's weights, or build into another folder"
            )


def commit_version(
    out: Path,
    plan: BuildPlan,
    previous: Manifest | None,
    made: Sequence[ShardRecord],
    models: Mapping[str, ModelRecord],
    reference: Reference,
    person: Sequence[Verdict] | None = None,
) -> Manifest:
    """Compares all images, writes index and prototypes, publishes the bank's next version.

    Shards of the previous version that the plan says nothing about (of other sources, of categories
    that it adds to) are carried over, and so are a person's verdicts; but nothing of a category
    that was removed. Its files stay where they are, for older versions.

    Args:
        made: the plan's shards, all on the disk; there is a previous version if there are none.
        reference: how images are compared with each other.
        person: a person's verdicts, by default those of the previous version.
    """
    number = next_version(out)
    clock = StageClock()
    active = {record.category_id for record in plan.vocabulary if not record.removed}
    shards = sorted((*_carried(previous, made, active), *made), key=lambda shard: shard.name)
    dimension = made[0].dimension if previous is None else previous.dimension
    if person is None:
        person = person_verdicts(out, previous)
    with clock.stage("index"):
        derived = write_derived(
            out,
            number,
            shards,
            {record.category_id: record.name for record in plan.vocabulary},
            [one for one in person if _is_of(one, active)],
            reference,
            dimension,
        )
    verdicts: FileRecord | None = None
    if derived.verdicts:
        path = verdicts_folder(out) / f"{number:06d}.parquet"
        verdicts = write_verdicts(path, derived.verdicts)
    return commit_manifest(
        out,
        Manifest(
            version=number,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            settings=plan.settings,
            build_hash=plan.build_hash,
            vocabulary=plan.vocabulary,
            background=plan.background,
            next_category_id=plan.next_category_id,
            dimension=dimension,
            images_per_category=plan.images_per_category,
            shards=tuple(shards),
            index=derived.index,
            prototypes=derived.prototypes,
            feature_rows=derived.feature_rows,
            verdicts=verdicts,
            models={**(previous.models if previous else {}), **models},
            libraries=_libraries(previous, made),
            seconds=_seconds(previous, made, clock),
        ),
    )


def publish_change(
    bank: StoredBank,
    vocabulary: tuple[CategoryRecord, ...],
    person: Sequence[Verdict] | None = None,
) -> tuple[BuildReport, tuple[str, ...]]:
    """Commits the next version of a finished bank with another vocabulary or other reviews.

    To be called with the bank's build lock. What an unfinished build has left stays as it is.

    Args:
        bank: its latest version.
        vocabulary: the bank's own, where categories may be marked as removed.
        person: a person's verdicts, by default those of the bank.

    Returns:
        What the bank then holds, and the names of categories that this left without a feature.
    """
    before = describe_bank(bank, changed=False, reused_shards=len(bank.shards))
    plan = plan_of(bank.manifest).model_copy(update={"vocabulary": vocabulary})
    commit_version(bank.path, plan, bank.manifest, (), {}, bank.settings.reference, person)
    after = StoredBank(bank.path)
    report = describe_bank(after, changed=True, reused_shards=len(after.shards))
    empty_before = set(before.categories_without_feature)
    emptied = (name for name in report.categories_without_feature if name not in empty_before)
    return report, tuple(emptied)


def open_latest(out: Path) -> StoredBank:
    """Opens the bank's latest version, which a new one can follow."""
    manifest = read_manifest(out, to_write=True)
    return StoredBank(out, manifest.version)


def _carried(
    previous: Manifest | None, made: Sequence[ShardRecord], active: Container[int]
) -> list[ShardRecord]:
    """The previous version's shards, of active categories, whose images are not in those made."""
    replaced = {(shard.category_id, shard.source) for shard in made}
    return [
        shard
        for shard in (previous.shards if previous else ())
        if shard.category_id in active and (shard.category_id, shard.source) not in replaced
    ]


def person_verdicts(out: Path, previous: Manifest | None) -> list[Verdict]:
    """Reads a person's verdicts in a version; BankDamaged if they cannot be read."""
    if previous is None or previous.verdicts is None:
        return []
    path = verdicts_folder(out) / previous.verdicts.name
    return [one for one in read_verdicts(path, previous.verdicts) if one.by == "person"]


def _is_of(verdict: Verdict, active: Container[int]) -> bool:
    """Whether a verdict is about an image of an active category."""
    try:
        return unpack_image_id(verdict.image_id).category_id in active
    except ValueError:  # an id that no image can have
        return False


def _seconds(
    previous: Manifest | None, made: Sequence[ShardRecord], clock: StageClock
) -> dict[str, float]:
    """Seconds by stage over the shards that the previous version did not have, and the index."""
    earlier = {shard.name for shard in previous.shards} if previous else set()
    seconds: dict[str, float] = {}
    for shard in made:
        for stage, value in shard.seconds.items() if shard.name not in earlier else ():
            seconds[stage] = round(seconds.get(stage, 0.0) + value, 3)
    return seconds | clock.seconds


def _libraries(previous: Manifest | None, made: Sequence[ShardRecord]) -> dict[str, str]:
    """The versions of the libraries that the bank's bytes may depend on, of those installed.

    Where no shard was made, the previous version's still tell what made the shards.
    """
    versions = {} if previous is None or made else dict(previous.libraries)
    for name in _LIBRARIES if made else _DERIVING:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # such as faiss from another distribution
            continue
    return versions
