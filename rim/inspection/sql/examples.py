"""Questions that are worth asking any bank, ready to run: `rim sql BANK --examples`."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import UsageError

__all__ = ["EXAMPLES", "Example", "example"]


@dataclass(frozen=True)
class Example:
    """A question with a title. sql: one statement for `rim sql`, several lines."""

    title: str
    sql: str


EXAMPLES: tuple[Example, ...] = (
    Example(
        "Coverage: the usable references of each category, fewest first",
        """\
SELECT category, images, accepted,
       round(100 * accepted / greatest(images, 1)) AS percent, features
FROM categories ORDER BY accepted, category""",
    ),
    Example(
        "Rejected: how many images for which reason",
        """\
SELECT status, decided_by, reason, count(*) AS images, count(DISTINCT category) AS categories
FROM images WHERE status <> 'accepted'
GROUP BY ALL ORDER BY images DESC, reason""",
    ),
    Example(
        "Confusable: the pairs of categories that look most alike",
        """\
SELECT a.category, b.category AS other, cosine(a.embedding, b.embedding) AS similarity
FROM prototypes a JOIN prototypes b ON a.category_id < b.category_id
WHERE a.kind = 'mean' AND b.kind = 'mean'
ORDER BY similarity DESC LIMIT 20""",
    ),
    Example(
        "Outliers: accepted references least like the mean of their category",
        """\
SELECT f.image_id, f.category, cosine(f.embedding, p.embedding) AS similarity
FROM features f JOIN prototypes p USING (category)
WHERE f.role = 'foreground' AND p.kind = 'mean'
ORDER BY similarity LIMIT 20""",
    ),
    Example(
        "Nearest: the references most like a given one (put its image_id in place of the first)",
        """\
SELECT n.image_id, n.category, n.similarity, i.source, i.prompt
FROM nearest((SELECT min(image_id) FROM features WHERE role = 'foreground'), k := 10) n
JOIN images i USING (image_id)
ORDER BY n.similarity DESC""",
    ),
    Example(
        "Duplicates: the pairs of references within a category that are most alike",
        """\
SELECT a.category, a.image_id, b.image_id AS other, cosine(a.embedding, b.embedding) AS similarity
FROM features a JOIN features b ON a.category = b.category AND a.image_id < b.image_id
WHERE a.role = 'foreground' AND b.role = 'foreground'
ORDER BY similarity DESC LIMIT 20""",
    ),
    Example(
        "What took so long: seconds of each stage, of every version",
        """\
SELECT version, time, stage, seconds,
       round(100 * seconds / sum(seconds) OVER (PARTITION BY version)) AS percent
FROM (SELECT version, time, unnest(map_keys(seconds)) AS stage,
             unnest(map_values(seconds)) AS seconds
      FROM builds)
ORDER BY version DESC, seconds DESC""",
    ),
    Example(
        "Weakest: categories whose references are most often nearer to another category's mean",
        """\
SELECT category, count(*) AS "references",
       count(*) FILTER (nearest <> category) AS astray,
       mode(nearest) FILTER (nearest <> category) AS mostly_to,
       avg(own) AS similarity
FROM (SELECT f.image_id, f.category,
             arg_max(p.category, cosine(f.embedding, p.embedding)) AS nearest,
             max(cosine(f.embedding, p.embedding)) FILTER (p.category = f.category) AS own
      FROM features f CROSS JOIN prototypes p
      WHERE f.role = 'foreground' AND p.kind = 'mean'
      GROUP BY ALL)
GROUP BY category ORDER BY astray / count(*) DESC, similarity""",
    ),
    Example(
        "Disagreement: SAM is sure of its mask, but it is not where the attention was",
        """\
SELECT image_id, category, status, attention_agreement, sam_score, mask_area, reason
FROM images WHERE attention_agreement IS NOT NULL
ORDER BY attention_agreement, sam_score DESC LIMIT 20""",
    ),
    Example(
        "Photos and generated images, side by side",
        """\
SELECT source, count(*) AS images, count(DISTINCT category) AS categories,
       round(100 * count(*) FILTER (status = 'accepted') / count(*)) AS accepted_percent,
       avg(mask_area) AS mask_area, avg(sam_score) AS sam_score
FROM images GROUP BY source ORDER BY source""",
    ),
)


def example(number: int) -> Example:
    """The example of that number, from 1; UsageError if there is none."""
    if not 1 <= number <= len(EXAMPLES):
        raise UsageError(f"expected an example from 1 to {len(EXAMPLES)}, found {number}")
    return EXAMPLES[number - 1]
