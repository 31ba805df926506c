"""SQL: the promised views, and nothing but questions."""

from __future__ import annotations

import datetime
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from foundation.images.reading import decode_png
from rim.inspection.sql.connection import BankConnection, connect, run_sql
from rim.inspection.sql.views import VIEW_PARTS
from schemas.errors import BankDamaged, SqlError
from schemas.ids import pack_image_id
from schemas.records import ModelRecord
from schemas.store.bank import StoredBank
from schemas.store.manifests import manifest_path
from schemas.store.verdicts import Verdict
from tests.query.examples import failed, reference_row, rejected, write_bank

HOUSE, FISH = 4, 7


def vector(*values: float) -> np.ndarray:
    unit = np.array(values, np.float32)
    return unit / np.linalg.norm(unit)


def image(category_id: int, number: int) -> int:
    return pack_image_id(category_id, "diffusion", number)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> StoredBank:
    """Houses: 0 fine, 1 too small, 2 failed, 3 an outlier. Fish: 0 fine, 1 rescued by a person."""
    house = [reference_row(HOUSE, "house", n, vector(1, n, 0), vector(0, 0, 1)) for n in range(4)]
    fish = [reference_row(FISH, "fish", n, vector(0, 1, n), None) for n in range(2)]
    person = "looks like no house"
    return write_bank(
        tmp_path_factory.mktemp("bank"),
        {
            "house": [house[0], rejected(house[1]), failed(house[2]), house[3]],
            "fish": [fish[0], rejected(fish[1])],
        },
        verdicts=[
            Verdict(image(HOUSE, 3), "rejected", "outlier", "automatic"),
            Verdict(image(HOUSE, 2), "accepted", None, "person"),
            Verdict(image(FISH, 0), "rejected", "outlier", "automatic"),
            Verdict(image(FISH, 0), "accepted", None, "person"),
            Verdict(image(FISH, 1), "accepted", None, "person"),
            Verdict(image(HOUSE, 1), "rejected", person, "person"),
        ],
        models={"features": ModelRecord(name="dino", licence="Apache-2.0", fingerprint="f" * 64)},
        synonyms={"house": ("home", "cottage")},
    )


@pytest.fixture(scope="module")
def connection(bank: StoredBank) -> Iterator[BankConnection]:
    with connect(bank) as connection:
        yield connection


def ask(connection: BankConnection, sql: str) -> list[tuple[object, ...]]:
    return connection.ask(sql).fetchall()


VIEWS = {
    "categories": {
        "category_id": "INTEGER",
        "category": "VARCHAR",
        "synonyms": "VARCHAR[]",
        "images": "INTEGER",
        "accepted": "INTEGER",
        "features": "INTEGER",
    },
    "images": {
        "image_id": "BIGINT",
        "category": "VARCHAR",
        "number": "INTEGER",
        "source": "VARCHAR",
        "prompt": "VARCHAR",
        "seed": "BIGINT",
        "status": "VARCHAR",
        "reason": "VARCHAR",
        "width": "INTEGER",
        "height": "INTEGER",
        "mask": "STRUCT(size INTEGER[], counts VARCHAR)",
        "mask_area": "DOUBLE",
        "sam_score": "DOUBLE",
        "attention_agreement": "DOUBLE",
        "points": "STRUCT(x INTEGER, y INTEGER)[]",
        "attention": "BLOB",
        "png": "BLOB",
    },
    "features": {
        "feature_id": "BIGINT",
        "image_id": "BIGINT",
        "category": "VARCHAR",
        "role": "VARCHAR",
        "embedding": "FLOAT[3]",
    },
    "prototypes": {
        "category": "VARCHAR",
        "kind": "VARCHAR",
        "number": "INTEGER",
        "references": "INTEGER",
        "embedding": "FLOAT[3]",
    },
    "builds": {
        "version": "INTEGER",
        "time": "TIMESTAMP",
        "settings": "JSON",
        "models": 'STRUCT("role" VARCHAR, "name" VARCHAR, licence VARCHAR, fingerprint VARCHAR)[]',
        "libraries": "MAP(VARCHAR, VARCHAR)",
        "seconds": "MAP(VARCHAR, DOUBLE)",
    },
}


@pytest.mark.parametrize("view", VIEWS)
def test_the_promised_columns(connection: BankConnection, view: str) -> None:
    columns = ask(connection, f"SELECT column_name, column_type FROM (DESCRIBE {view})")
    assert [row for row in columns if row[0] in VIEWS[view]] == list(VIEWS[view].items())


def test_verdicts_decide_and_a_person_above_all_but_failure(connection: BankConnection) -> None:
    rows = ask(
        connection,
        "SELECT category, number, status, reason, decided_by FROM images ORDER BY image_id",
    )
    assert rows == [
        ("house", 0, "accepted", None, None),
        ("house", 1, "rejected", "looks like no house", "person"),
        ("house", 2, "failed", "out of memory", "person"),
        ("house", 3, "rejected", "outlier", "automatic"),
        ("fish", 0, "accepted", None, "person"),
        ("fish", 1, "accepted", None, "person"),
    ]


def test_the_views_agree_with_the_bank(bank: StoredBank, connection: BankConnection) -> None:
    table = bank.images_table(["image_id", "status", "reason"])
    assert (
        connection.ask("SELECT image_id, status, reason FROM images ORDER BY image_id")
        .to_arrow_table()
        .to_pylist()
        == table.to_pylist()
    )
    question = "SELECT feature_id, embedding FROM features ORDER BY role DESC, feature_id"
    rows, features = ask(connection, question), bank.features()
    assert [row[0] for row in rows] == features.feature_id.tolist()
    np.testing.assert_array_equal(np.array([row[1] for row in rows]), features.embeddings)


def test_categories_are_counted(connection: BankConnection) -> None:
    assert ask(connection, "FROM categories") == [
        (HOUSE, "house", ["home", "cottage"], 4, 1, 2),
        (FISH, "fish", [], 2, 2, 2),
    ]


def test_features_are_those_of_accepted_images(connection: BankConnection) -> None:
    rows = ask(
        connection, "SELECT category, role, count(*) FROM features GROUP BY ALL ORDER BY 1, 2"
    )
    assert rows == [
        ("fish", "foreground", 2),
        ("house", "background", 1),
        ("house", "foreground", 1),
    ]


def test_most_alike_categories(connection: BankConnection) -> None:
    question = """
        SELECT a.category, b.category, max(array_cosine_similarity(a.embedding, b.embedding)) AS s
        FROM features a JOIN features b ON a.category < b.category
        WHERE a.role = 'foreground' AND b.role = 'foreground' GROUP BY ALL"""
    assert ask(connection, question) == [("fish", "house", pytest.approx(0.0, abs=1e-6))]


def test_why_images_were_rejected(connection: BankConnection) -> None:
    question = "SELECT reason, count(*) FROM images WHERE status = 'rejected' GROUP BY 1 ORDER BY 1"
    assert ask(connection, question) == [("looks like no house", 1), ("outlier", 1)]


def test_images_come_with_the_row(connection: BankConnection) -> None:
    rows = ask(connection, "SELECT number, png, attention FROM images WHERE category = 'house'")
    seen = {
        number: png and (decode_png(png)[0, 0], decode_png(attention)[0, 0])  # type: ignore[arg-type]
        for number, png, attention in rows
    }
    assert seen == {0: (0, 100), 1: (1, 101), 2: None, 3: (3, 103)}


def test_nested_values(connection: BankConnection) -> None:
    question = "SELECT mask, points, mask.size[1] FROM images WHERE category = 'fish' LIMIT 1"
    points = [{"x": 1, "y": 2}, {"x": 3, "y": 0}]
    assert ask(connection, question) == [({"size": [4, 6], "counts": "08`0"}, points, 4)]


def test_builds_has_a_row_a_manifest(connection: BankConnection) -> None:
    rows = ask(connection, "SELECT * EXCLUDE settings FROM builds")
    model = {"role": "features", "name": "dino", "licence": "Apache-2.0", "fingerprint": "f" * 64}
    time = datetime.datetime(2024, 5, 1, 12)
    libraries = [("numpy", "2"), ("torch", "3")]
    assert rows == [(v, time, [model], libraries, [("generate", 1.5)]) for v in (1, 2, 3)]
    assert ask(connection, "SELECT settings->'generation'->'steps' FROM builds LIMIT 1") == [
        ("50",)
    ]


def test_a_manifest_that_cannot_be_read_has_no_row(tmp_path: Path) -> None:
    bank = write_bank(tmp_path, {"house": [reference_row(0, "house", 0, vector(1, 0))]})
    manifest_path(tmp_path, 1).write_text("{}")
    assert run_sql(bank, "SELECT version FROM builds").fetchall() == [(2,), (3,)]


def test_which_categories_look_most_alike(tmp_path: Path) -> None:
    looks = {"house": (1, 0, 0), "barn": (0.9, 0.4, 0), "fish": (0, 0.2, 1)}
    rows = {
        name: [reference_row(c, name, n, vector(*look)) for n in range(2)]
        for c, (name, look) in enumerate(looks.items())
    }
    question = """
        SELECT a.category, b.category,
               round(array_cosine_similarity(a.embedding, b.embedding), 4)::DOUBLE
        FROM prototypes a JOIN prototypes b ON a.category_id < b.category_id
        WHERE a.kind = 'mean' AND b.kind = 'mean' ORDER BY 3 DESC LIMIT 1"""
    cosine = float(vector(*looks["house"]) @ vector(*looks["barn"]))
    assert run_sql(write_bank(tmp_path, rows), question).fetchall() == [
        ("house", "barn", pytest.approx(cosine, abs=1e-4))
    ]


def test_prototypes_are_of_accepted_references(connection: BankConnection) -> None:
    rows = ask(
        connection,
        'SELECT category, kind, number, "references" FROM prototypes ORDER BY ALL',
    )
    assert rows == [
        ("fish", "mean", 0, 2),
        ("fish", "subcategory", 0, 1),
        ("fish", "subcategory", 1, 1),
        ("house", "mean", 0, 1),
        ("house", "subcategory", 0, 1),
    ]


def test_a_bank_without_prototypes_has_an_empty_view(bank: StoredBank) -> None:
    older = StoredBank(bank.path, version=2)
    assert run_sql(older, "SELECT count(*) FROM prototypes").fetchall() == [(0,)]


@pytest.mark.parametrize("missing", [True, False])
def test_damaged_prototypes_concern_only_who_asks_for_them(
    large_bank: StoredBank, missing: bool
) -> None:
    (file,) = large_bank.path.glob("index/*.prototypes.parquet")
    file.unlink() if missing else file.write_bytes(b"PAR1")
    with connect(large_bank) as connection:
        assert ask(connection, "SELECT count(*) FROM images") == [(250,)]
        with pytest.raises(BankDamaged, match="rim verify --repair"):
            ask(connection, "SELECT sum(embedding[1]) FROM prototypes")


def damage(path: Path) -> None:
    """Turns over one byte in every fifty, except for the footer, which has no checksum."""
    data = bytearray(path.read_bytes())
    data[4:-1000:50] = bytes(255 - byte for byte in data[4:-1000:50])
    path.write_bytes(data)


@pytest.fixture
def large_bank(tmp_path: Path) -> StoredBank:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 8)).astype(np.float32)
    rows = [reference_row(0, "house", n, features[n], features[n]) for n in range(250)]
    return write_bank(tmp_path, {"house": rows})


def test_questions_about_facts_never_touch_the_pixels(large_bank: StoredBank) -> None:
    (pixels,) = large_bank.path.glob("shards/*/pixels.parquet")
    pixels.write_bytes(b"")
    with connect(large_bank) as connection:
        assert ask(connection, "SELECT count(*), min(mask_area) FROM images") == [(250, 0.5)]
        assert ask(connection, "SELECT accepted, features FROM categories") == [(250, 500)]
        assert len(ask(connection, "DESCRIBE images")) >= 17
        with pytest.raises(BankDamaged, match=r"pixels\.parquet"):
            ask(connection, "SELECT octet_length(png) FROM images")


def test_a_missing_file_is_damage(large_bank: StoredBank) -> None:
    (images,) = large_bank.path.glob("shards/*/images.parquet")
    images.unlink()
    with pytest.raises(BankDamaged, match=r"images\.parquet"):
        run_sql(large_bank, "SELECT count(*) FROM images").fetchall()


@pytest.mark.parametrize(
    ("part", "question"),
    [
        ("pixels", "SELECT png FROM images"),
        ("images", "SELECT prompt, seed, number FROM images"),
        ("features", "SELECT sum(embedding[1]) FROM features"),
    ],
)
def test_damage_is_told_from_a_bad_question(
    large_bank: StoredBank, part: str, question: str
) -> None:
    (file,) = large_bank.path.glob(f"shards/*/{part}.parquet")
    damage(file)
    with connect(large_bank) as connection:
        with pytest.raises(BankDamaged, match="rim verify"):
            ask(connection, question)
        with pytest.raises(SqlError, match="nonsense"):
            ask(connection, "SELECT nonsense FROM builds")


PARTS = {
    "SELECT count(*) FROM builds": [],
    "SELECT 1": [],
    "WITH images AS (FROM builds) FROM images": [],
    "SELECT count(*) FROM images": ["images"],
    "DESCRIBE images": ["images"],
    "FROM builds WHERE version IN (SELECT number FROM Images)": ["images"],
    "FROM main.categories": ["features", "images"],
    "SELECT 1 WHERE EXISTS (FROM features)": ["features", "images"],
    "FROM prototypes": ["prototypes"],
    "FROM prototypes JOIN images USING (category)": ["images", "prototypes"],
}


@pytest.mark.parametrize("question", PARTS)
def test_the_files_that_a_question_reads_are_checked(
    bank: StoredBank, connection: BankConnection, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(StoredBank, "check_part", lambda self, part: checked.append(part))
    ask(connection, question)
    assert checked == PARTS[question]


@pytest.mark.parametrize("part", ["images", "features", "prototypes"])
def test_a_view_reads_the_parts_that_are_checked_for_it_and_no_others(
    large_bank: StoredBank, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoredBank, "check_part", lambda self, part: None)
    with connect(large_bank) as connection:
        for file in large_bank.path.glob(f"**/*{part}.parquet"):
            file.write_bytes(b"PAR1")
        for view, parts in VIEW_PARTS.items():
            if part in parts:
                with pytest.raises(BankDamaged):
                    ask(connection, f"FROM {view}")
            else:
                assert len(ask(connection, f"FROM {view}")) > 0


@pytest.mark.parametrize("part", ["images", "features"])
def test_a_footer_that_was_changed_is_damage(large_bank: StoredBank, part: str) -> None:
    """Pages have checksums, footers have none: here it is the place of the first page."""
    (file,) = large_bank.path.glob(f"shards/*/{part}.parquet")
    data = bytearray(file.read_bytes())
    data[-200] ^= 1
    file.write_bytes(data)
    with connect(large_bank) as connection:
        assert ask(connection, "SELECT count(*) FROM builds") == [(3,)]
        with pytest.raises(BankDamaged, match=rf"{part}\.parquet.*SHA-256 differs.*rim verify"):
            ask(connection, "SELECT count(*) FROM features")


def test_a_mistake_of_duckdbs_own_ends_one_question_only(connection: BankConnection) -> None:
    with pytest.raises(SqlError) as caught:
        ask(connection, "SELECT list_resize(1::VARIANT, 'a')")
    assert str(caught.value).isprintable()
    assert ask(connection, "SELECT count(*) FROM images") == [(6,)]


def test_a_slow_image_does_not_hold_up_the_time_limit(
    bank: StoredBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def png(self: StoredBank, image_ids: Iterable[int]) -> dict[int, bytes]:
        time.sleep(0.5)
        return {}

    monkeypatch.setattr(StoredBank, "png", png)
    with connect(bank, timeout=0.1) as connection:
        with pytest.raises(SqlError, match="expected an answer within"):
            ask(connection, "SELECT png FROM images, range(1000000)")
        monkeypatch.undo()
        monkeypatch.setattr(connection, "_timeout", None)
        assert ask(connection, "SELECT png IS NULL FROM images WHERE number = 0 LIMIT 1") == [
            (False,)
        ]


def test_an_unfetched_answer_outlives_other_questions(connection: BankConnection) -> None:
    first = connection.ask("SELECT number FROM images ORDER BY ALL")
    second = connection.ask("SELECT 1")
    assert second.fetchall() == [(1,)]
    assert first.fetchall() == [(0,), (0,), (1,), (1,), (2,), (3,)]


def test_large_answers_keep_their_order(connection: BankConnection) -> None:
    table = connection.ask("SELECT range AS n FROM range(100000)").to_arrow_table()
    assert table["n"].to_pylist() == list(range(100000))
    assert connection.ask("SELECT 1 AS a WHERE false").to_arrow_table().schema.names == ["a"]


def test_values_that_python_does_not_have(connection: BankConnection) -> None:
    answer = connection.ask("SELECT TIMESTAMP '20000-01-01' AS late")
    assert answer.to_arrow_table().num_rows == 1
    with pytest.raises(SqlError, match=r"'late'.*CAST it AS VARCHAR"):
        answer.fetchall()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_time_limits_are_positive(bank: StoredBank, seconds: float) -> None:
    with pytest.raises(SqlError, match="expected a time limit in seconds, or 0 for none"):
        connect(bank, seconds)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (a INT)",
        "CREATE VIEW v AS SELECT 1",
        "INSERT INTO images VALUES (1)",
        "DROP VIEW images",
        "COPY (SELECT 1) TO 'out.csv'",
        "COPY images FROM 'in.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'",
        "EXPORT DATABASE 'out'",
        "ATTACH 'other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "CHECKPOINT",
        "PREPARE p AS SELECT 1",
        "BEGIN",
    ],
)
def test_only_questions(connection: BankConnection, statement: str) -> None:
    with pytest.raises(SqlError, match="expected a question") as caught:
        connection.ask(statement)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "question",
    [
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_blob('{file}')",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM sniff_csv('{file}')",
        "SELECT * FROM read_json('{file}')",
        "SELECT * FROM read_parquet('{file}')",
        "SELECT * FROM parquet_metadata('{file}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_text('https://example.com')",
        "SELECT * FROM query('SELECT * FROM read_text(''{file}'')')",
        "SELECT * FROM enable_logging('QueryLog', storage='file', storage_path='{folder}/log')",
        "SELECT getenv('HOME')",
        "SELECT * FROM secret_of_the_caller",
    ],
)
def test_no_way_out(connection: BankConnection, tmp_path: Path, question: str) -> None:
    secret_of_the_caller = __import__("pyarrow").table({"a": [1]})
    file = tmp_path / "secret.csv"
    file.write_text("secret\n1\n")
    with pytest.raises(SqlError) as caught:
        ask(connection, question.format(file=file, folder=tmp_path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [file]
    assert secret_of_the_caller.num_rows == 1


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "found 0 statements"),
        ("-- only a comment", "found 0 statements"),
        ("SELECT 1; SELECT 2", "found 2 statements"),
        ("SELECT 1; DROP VIEW images", "found 2 statements"),
        ("SELEC 1", "syntax error"),
        ("SELECT nope FROM categories", '"nope" not found.*Candidate bindings'),
        ("SELECT * FROM nope", r"expected a view \(categories, images,.*found 'nope'"),
        ("SELECT * FROM imagse", "did you mean images"),
        ("SELECT * FROM images.points", "found 'images.points'"),
        ("SELECT 1 FROM images -- " + "x" * 70_000, "at most 65536 characters"),
        ("SELECT 'a'::INT", "Could not convert"),
    ],
)
def test_errors_are_one_line(connection: BankConnection, sql: str, message: str) -> None:
    with pytest.raises(SqlError, match=message) as caught:
        ask(connection, sql)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sql", ["SELECT 1 AS a", "WITH t AS (SELECT 1 AS a) FROM t;", "VALUES (1)", "SHOW TABLES",
            "DESCRIBE images", "SUMMARIZE categories", "TABLE builds", "FROM memory.main.images",
            "SHOW ALL TABLES", "SHOW images", "PIVOT images ON status IN ('accepted', 'failed')",
            "SELECT a.n FROM range(3) a(n), LATERAL (SELECT a.n + 1)",
            "WITH RECURSIVE t AS (SELECT 1 x UNION SELECT x + 1 FROM t WHERE x < 3) FROM t",
            "WITH RECURSIVE t(a) USING KEY (a) AS (SELECT 1 UNION FROM recurring.t) FROM t",
            "WITH a AS (SELECT 1), b AS MATERIALIZED (FROM A) SELECT * FROM b",
            "SELECT point.x FROM (SELECT unnest(points) AS point FROM images)",
            "SELECT list_transform(points, lambda p: p.x + 1), -seed, prompt LIKE 'a%' FROM images",
            "SELECT * FROM images i ANTI JOIN features f USING (image_id)",
            "(SELECT 1) UNION ALL (SELECT 2) INTERSECT VALUES (1)",
            "SELECT key FROM builds, json_each(settings)",
            "SELECT row_number() OVER (ORDER BY number), rank() OVER w FROM images"
            " WINDOW w AS (PARTITION BY category)",
            "FROM information_schema.columns", "FROM duckdb_functions()"],
)  # fmt: skip
def test_every_kind_of_question(connection: BankConnection, sql: str) -> None:
    answer = connection.ask(sql)
    assert answer.to_arrow_table().num_rows >= 1
    assert len(answer.columns) >= 1


def test_an_answer_outlives_its_connection_object(bank: StoredBank) -> None:
    answer = run_sql(bank, "SELECT count(*) AS n FROM images")
    assert answer.columns == ("n",)
    assert answer.fetchall() == answer.fetchall() == [(6,)]


def test_a_program_that_holds_an_answer_ends_in_silence(bank: StoredBank) -> None:
    code = (
        "from rim.inspection.sql.connection import run_sql;"
        "from schemas.store.bank import StoredBank;"
        f"bank = StoredBank({str(bank.path)!r});"
        "answer = run_sql(bank, 'SELECT png FROM images'); print(answer.to_arrow_table().num_rows)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("6\n", "")
