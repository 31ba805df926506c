"""The end of a build: verdicts, index, prototypes and manifest, together the new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bank_builder.judgement import judge
from bank_builder.stage_clock import StageClock
from schemas.bank import index_folder
from schemas.errors import ModelError
from schemas.index import build_index
from schemas.manifest import Manifest, commit_manifest, next_version
from schemas.progress_file import BuildPlan
from schemas.prototypes import derive_prototypes, write_prototypes
from schemas.records import FileRecord, ModelRecord, ShardRecord
from schemas.sections import Reference
from schemas.verdicts import Verdict, read_verdicts, verdicts_folder, write_verdicts

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


def check_same_models(previous: Manifest | None, models: Mapping[str, ModelRecord]) -> None:
    """ModelError if the weights at hand are not those that made the bank.

    Only models that both the bank and the build have use of: photos need no text-to-image model.
    """
    for role, record in previous.models.items() if previous else ():
        found = models.get(role)
        if found is not None and found.fingerprint != record.fingerprint:
            raise ModelError(
                f"models.{role}: expected the weights that made the bank ({record.name}, "
                f"fingerprint {record.fingerprint[:12]}), found {found.fingerprint[:12]}; fetch "
                "the bank's weights, or build into another folder"
            )


def commit_version(
    out: Path,
    plan: BuildPlan,
    previous: Manifest | None,
    made: Sequence[ShardRecord],
    models: Mapping[str, ModelRecord],
    reference: Reference,
) -> Manifest:
    """Judges all images, writes index and prototypes, publishes the next version of the bank.

    Shards of the previous version that the plan says nothing about (of removed categories, of other
    sources) are carried over, and so are a person's verdicts.

    Args:
        made: the plan's shards, all on the disk.
        reference: how images are compared with each other.
    """
    number = next_version(out)
    clock = StageClock()
    shards = sorted((*_carried(previous, made), *made), key=lambda shard: shard.name)
    removed = {record.category_id for record in plan.vocabulary if record.removed}
    with clock.stage("index"):
        judgement = judge(
            out,
            [shard for shard in shards if shard.category_id not in removed],
            {record.category_id: record.name for record in plan.vocabulary},
            _person_verdicts(out, previous),
            reference,
            made[0].dimension,
        )
        index = build_index(
            index_folder(out) / f"{number:06d}.faiss", judgement.embeddings, judgement.feature_id
        )
        prototypes = write_prototypes(
            index_folder(out) / f"{number:06d}.prototypes.parquet",
            derive_prototypes(judgement.embeddings, judgement.feature_id),
        )
    verdicts: FileRecord | None = None
    if judgement.verdicts:
        path = verdicts_folder(out) / f"{number:06d}.parquet"
        verdicts = write_verdicts(path, judgement.verdicts)
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
            dimension=made[0].dimension,
            images_per_category=plan.images_per_category,
            shards=tuple(shards),
            index=index,
            prototypes=prototypes,
            verdicts=verdicts,
            models={**(previous.models if previous else {}), **models},
            libraries=_library_versions(),
            seconds=_seconds(previous, made, clock),
        ),
    )


def _carried(previous: Manifest | None, made: Sequence[ShardRecord]) -> list[ShardRecord]:
    """The previous version's shards whose images are not in the ones made."""
    replaced = {(shard.category_id, shard.source) for shard in made}
    return [
        shard
        for shard in (previous.shards if previous else ())
        if (shard.category_id, shard.source) not in replaced
    ]


def _person_verdicts(out: Path, previous: Manifest | None) -> list[Verdict]:
    if previous is None or previous.verdicts is None:
        return []
    path = verdicts_folder(out) / previous.verdicts.name
    return [one for one in read_verdicts(path, previous.verdicts) if one.by == "person"]


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


def _library_versions() -> dict[str, str]:
    """The versions of the libraries that the bank's bytes may depend on, of those installed."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # such as faiss from another distribution
            continue
    return versions
