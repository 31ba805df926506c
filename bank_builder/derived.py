"""What follows from all shards of a version together: verdicts, index and prototypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bank_builder.feature_spool import kept_blocks, spooled
from bank_builder.judgement import judge
from bank_builder.mask_facts import read_masks
from schemas.records import FileRecord, ShardRecord
from schemas.sections import Reference
from schemas.store.bank import index_folder
from schemas.store.feature_rows import FeatureRows
from schemas.store.index import FeatureIndex, feature_rows_digest, write_index
from schemas.store.prototypes import derive_prototypes, write_prototypes
from schemas.store.verdicts import Verdict, effective_verdicts


@dataclass(frozen=True)
class Derived:
    """The verdicts, the person's and the automatic ones, and the files of the features left.

    feature_rows: `feature_rows_digest` of those features.
    """

    verdicts: tuple[Verdict, ...]
    index: FileRecord
    prototypes: FileRecord
    feature_rows: str


def write_derived(
    out: Path,
    number: int,
    shards: Sequence[ShardRecord],
    names: Mapping[int, str],
    person: Sequence[Verdict],
    reference: Reference,
    dimension: int,
) -> Derived:
    """Judges all images and writes index and prototypes of version `number`.

    Memory does not grow with the number of categories but by what `judge` says: embeddings stay on
    the disk, in the index and, meanwhile, a second time in a temporary file beside it.

    Args:
        shards: of the categories that were not removed.
        names: of the categories, by category_id.
        person: a person's verdicts.
        reference: how images are compared with each other.
        dimension: length of the embeddings.

    Raises:
        BankDamaged: a shard's file is not what was written.
    """
    folder = index_folder(out)
    rows = FeatureRows.accepted(out, shards, effective_verdicts(person), dimension)
    masks = read_masks(out, rows.shards, rows.foreground_images)
    with spooled(rows, folder) as embeddings:
        judgement = judge(embeddings, rows.feature_id, masks, names, person, reference)
        index = write_index(
            folder / f"{number:06d}.faiss",
            kept_blocks(embeddings, judgement.kept),
            rows.feature_id[judgement.kept],
            rows.dimension,
        )
    stored = FeatureIndex.load(folder / index.name, index)
    prototypes = write_prototypes(
        folder / f"{number:06d}.prototypes.parquet",
        derive_prototypes(stored.embeddings, stored.feature_ids),
    )
    return Derived(judgement.verdicts, index, prototypes, feature_rows_digest(stored.feature_ids))
