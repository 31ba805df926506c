"""Questions by strangers: no way to files, network, settings, or the end of the process."""

from __future__ import annotations

import io
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from rim.cli.main import main
from rim.inspection.sql.connection import BankConnection, connect
from schemas.errors import SqlError
from schemas.store.bank import StoredBank
from tests.query.examples import reference_row, write_bank

SECRET = "correct-horse-battery"
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Place:
    """A folder with a bank and files that are nobody's business, and a server that counts calls."""

    folder: Path
    bank: Path
    port: int
    calls: list[object]

    def tree(self) -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in sorted(self.folder.rglob("*"))
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    unit = np.array([1, 0], np.float32)
    write_bank(folder / "bank", {"house": [reference_row(0, "house", n, unit) for n in range(3)]})
    (folder / "secret.csv").write_text(f"a,b\n1,{SECRET}\n")
    (folder / "secret.txt").write_text(SECRET)
    (folder / "secret.json").write_text(f'[{{"a": "{SECRET}"}}]')
    (folder / "schema.sql").write_text("CREATE TABLE t (a INT);")
    with duckdb.connect(str(folder / "secret.duckdb")) as other:
        other.execute(f"CREATE TABLE secret AS SELECT '{SECRET}' AS a")
        other.execute(f"COPY secret TO '{folder}/secret.parquet'")
    calls: list[object] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            calls.append(self.client_address)
            self.request.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\na\n1\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Place(folder, folder / "bank", server.server_address[1], calls)
        server.shutdown()


@pytest.fixture(scope="module")
def connection(place: Place) -> Iterator[BankConnection]:
    with connect(StoredBank(place.bank), timeout=20) as connection:
        yield connection


@pytest.fixture(autouse=True)
def _nothing_happens(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test tries: no file is written or touched, nobody is called."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("RIM_SECRET", SECRET)
    before = place.tree()
    yield
    assert place.tree() == before
    assert place.calls == []


READ_A_FILE = [
    "FROM 'secret.csv'",
    "FROM 'secret.parquet'",
    "FROM '{folder}/secret.csv'",
    "FROM './bank/../secret.json'",
    "FROM '~/.bashrc'",
    "FROM 'file:{folder}/secret.csv'",
    'FROM "secret.csv"',
    "TABLE 'secret.csv'",
    "SELECT (SELECT a FROM 'secret.csv')",
    'WITH "secret.csv" AS (FROM "secret.csv") FROM "secret.csv"',
    'SELECT (WITH "secret.csv" AS (SELECT 1) SELECT 1) FROM "secret.csv"',
    "FROM images JOIN 'secret.csv' ON true",
    "SELECT 1 ORDER BY (SELECT count(*) FROM 'secret.csv')",
    "SELECT 1 LIMIT (SELECT a FROM 'secret.csv')",
    "SELECT EXISTS (FROM 'secret.csv')",
    "VALUES ((FROM read_text('secret.txt')))",
    "FROM read_csv('secret.csv')",
    "FROM READ_CSV_AUTO('secret.csv')",
    "FROM \"read_csv\"(['secret.csv'])",
    "FROM system.main.read_csv('secret.csv')",
    "FROM read_csv(files := ['secret.csv'])",
    "FROM read_text('secret.txt')",
    "FROM read_blob('{folder}/secret.txt')",
    "FROM read_text('/proc/self/environ')",
    "FROM read_json('secret.json')",
    "FROM read_json_auto('secret.json')",
    "FROM read_json_objects('secret.json')",
    "FROM read_ndjson('secret.json')",
    "FROM read_ndjson_objects('secret.json')",
    "FROM read_parquet('secret.parquet')",
    "FROM parquet_scan('bank/shards/*/*.parquet')",
    "FROM read_duckdb('secret.duckdb', table_name := 'secret')",
    "FROM read_single_csv_file('secret.csv')",
    "FROM parquet_metadata('secret.parquet')",
    "FROM parquet_schema('secret.parquet')",
    "FROM parquet_file_metadata('secret.parquet')",
    "FROM parquet_full_metadata('secret.parquet')",
    "FROM parquet_kv_metadata('secret.parquet')",
    "FROM parquet_bloom_probe('secret.parquet', 'a', 1)",
    "FROM sniff_csv('secret.csv')",
    "FROM glob('*')",
    "FROM glob('{folder}/**')",
    "DESCRIBE 'secret.csv'",
    "SUMMARIZE 'secret.csv'",
    "DESCRIBE FROM read_csv('secret.csv')",
    "SUMMARIZE FROM read_csv('secret.csv')",
    "FROM (DESCRIBE 'secret.csv')",
    "SHOW 'secret.csv'",
    "PIVOT 'secret.csv' ON a IN (1)",
    "UNPIVOT 'secret.csv' ON a",
    "COPY images FROM 'secret.csv'",
    "FROM query('FROM read_text(''secret.txt'')')",
    "FROM query_table('secret.csv')",
    "FROM nearest((SELECT a FROM 'secret.csv'))",
    "FROM nearest(0, k := (SELECT count(*) FROM read_text('secret.txt')))",
    "FROM system.main.nearest(0)",
    "SELECT cosine((SELECT a FROM 'secret.csv'), [1])",
    "FROM query_table(['images', 'secret.csv'])",
    "FROM histogram('secret.csv', a)",
    "FROM histogram_values('secret.csv', a)",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''secret.txt'')'))",
    "SELECT json_serialize_plan('FROM read_text(''secret.txt'')')",
    "FROM from_substrait('00'::BLOB)",
    "PREPARE p AS FROM read_text('secret.txt')",
    "EXECUTE p('secret.txt')",
    "EXPLAIN ANALYZE FROM 'secret.csv'",
    "ATTACH 'secret.duckdb' AS other",
    "FROM secret.secret",
    "USE secret",
]
WRITE_A_FILE = [
    "COPY (SELECT 1) TO 'out.csv'",
    "COPY images TO 'out.parquet' (FORMAT parquet)",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'",
    "WITH c AS (COPY (SELECT 1) TO 'out.csv') SELECT 1",
    "FROM (WITH c AS (COPY images TO 'out.csv' RETURN_STATS) FROM c)",
    "EXPORT DATABASE 'out'",
    "IMPORT DATABASE '.'",
    "ATTACH 'out.duckdb'",
    "DETACH memory",
    "COPY FROM DATABASE memory TO other",
    "CREATE TABLE t AS SELECT 1",
    "CREATE VIEW images AS SELECT 1",
    "CREATE OR REPLACE VIEW images AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "CREATE TYPE t AS ENUM ('a')",
    "CREATE SEQUENCE s",
    "INSERT INTO images VALUES (1)",
    "UPDATE images SET status = 'accepted'",
    "UPDATE _images SET status = 'accepted'",
    "DELETE FROM _verdicts",
    "TRUNCATE images",
    "DROP VIEW images",
    "DROP TABLE _images",
    "ALTER VIEW images RENAME TO i",
    "MERGE INTO images USING categories ON true WHEN MATCHED THEN DELETE",
    "WITH d AS (DELETE FROM _images RETURNING *) FROM d",
    "WITH d AS (INSERT INTO _verdicts VALUES (1) RETURNING *) FROM d",
    "WITH d AS (UPDATE _images SET number = 0 RETURNING *) FROM d",
    "SELECT 1 INTO t",
    "VACUUM",
    "ANALYZE",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "FROM checkpoint()",
    "FROM force_checkpoint()",
    "BEGIN TRANSACTION",
    "COMMIT",
    "FROM enable_logging('QueryLog', storage := 'file', storage_path := 'log')",
    "FROM enable_profiling()",
    "SELECT write_log('x', level := 'error')",
    "FROM truncate_duckdb_logs()",
]
CALL_SOMEBODY = [
    "FROM read_csv('http://127.0.0.1:{port}/a.csv')",
    "FROM 'http://127.0.0.1:{port}/a.csv'",
    "FROM 'https://127.0.0.1:{port}/a.parquet'",
    "FROM read_text('s3://bucket/a?s3_endpoint=127.0.0.1:{port}')",
    "FROM 's3://bucket/a.parquet'",
    "ATTACH 'http://127.0.0.1:{port}/a.duckdb'",
    "INSTALL httpfs",
    "INSTALL httpfs FROM 'http://127.0.0.1:{port}'",
    "FORCE INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/secret.txt'",
    "UPDATE EXTENSIONS",
    "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE PERSISTENT SECRET s (TYPE http)",
    "DROP SECRET s",
    "FROM create_external_resource('http')",
    "FROM register_external_resource_type('a')",
    "COPY images TO 'http://127.0.0.1:{port}/a.csv'",
]
LOOK_BEHIND = [
    "FROM duckdb_settings()",
    "FROM duckdb_secrets()",
    "FROM which_secret('s3://bucket', 's3')",
    "FROM duckdb_extensions()",
    "FROM duckdb_databases()",
    "FROM duckdb_temporary_files()",
    "FROM duckdb_external_file_cache()",
    "FROM duckdb_external_resources()",
    "FROM duckdb_logs()",
    "FROM duckdb_logs_parsed('HTTP')",
    "FROM duckdb_variables()",
    "FROM duckdb_prepared_statements()",
    "FROM duckdb_memory()",
    "FROM pg_catalog.pg_settings",
    "FROM pg_settings",
    "FROM pg_database",
    "FROM sqlite_master",
    "FROM pragma_database_list",
    "WITH a AS (FROM pg_settings), pg_settings AS (SELECT 1) FROM a",
    "WITH pg_settings AS (FROM pg_settings) FROM pg_settings",
    "SELECT (WITH pg_settings AS (SELECT 1) SELECT 1), * FROM pg_settings",
    'WITH "pragma_database_list" AS (SELECT 1) FROM pg_catalog.pg_settings',
    "SELECT current_setting('secret_directory')",
    "SELECT Current_Setting('home_directory')",
    "SELECT main.current_setting('extension_directory')",
    "SELECT getenv('RIM_SECRET')",
    "FROM _images",
    "FROM memory.main._features",
    "SELECT _png(0)",
    "SELECT _attention(9223372036854775807)",
    "SELECT _png('secret.txt')",
    "FROM secret_of_the_caller",
    "FROM memory.secret_of_the_caller",
    "SHOW ALL SETTINGS",
    "SHOW DATABASES",
    "SHOW VARIABLES",
    "SHOW temp_directory",
    "SHOW pg_settings",
    "SHOW TABLES FROM pg_catalog",
    "DESCRIBE pg_settings",
    "PRAGMA database_list",
    "PRAGMA import_database('.')",
    "PRAGMA enable_profiling",
    "SET threads = 1",
    "SET lock_configuration = false",
    "SET enable_external_access = true",
    "SET VARIABLE a = 1",
    "RESET enable_external_access",
    "RESET ALL",
    "CALL pragma_version()",
    "CALL duckdb_settings()",
    "SELECT 1; FROM duckdb_settings()",
    "SELECT 1; -- and\n/* then */ FROM 'secret.csv'",
    "SELECT 1;;; COPY (SELECT 1) TO 'out.csv';",
    ".shell cat secret.txt",
    ".read schema.sql",
    ".open secret.duckdb",
    ".system cat secret.txt",
    "\\! cat secret.txt",
]
# What would end the process: called by hand, these take any address, or check no types.
CRASH = [
    "FROM arrow_scan(1, 2, 3)",
    "FROM arrow_scan(1::POINTER, 2::POINTER, 3::POINTER)",
    "FROM arrow_scan(NULL, NULL, NULL)",
    "FROM arrow_scan_dumb(1, 2, 3)",
    "FROM python_arrow_scan(1, 2, 3)",
    "FROM pandas_scan(140737488355328)",
    "FROM python_map_function((FROM images), 1)",
    "FROM seq_scan()",
    "FROM test_vector_types(NULL::INT)",
    "FROM test_all_types()",
    "SELECT \"!=\"({{'a': 1}}, 5)",
    "SELECT \"IS DISTINCT FROM\"({{'a': 1}}, 5)",
    "SELECT {{'a': 1}} OPERATOR(=) 5",
    "SELECT 'a' OPERATOR(<) 5",
    "SELECT system.main.\"=\"('a', 5)",
    "SELECT __internal_decompress_string(5)",
    "FROM " + "(FROM " * 100_000 + "images" + ")" * 100_000,
    "FROM " + "(FROM " * 9_000 + "images" + ")" * 9_000,
    "SELECT " + "(" * 30_000 + "1" + ")" * 30_000,
    "FROM images" + " JOIN images USING (image_id)" * 2_000,
]


@pytest.mark.parametrize("statement", [*READ_A_FILE, *WRITE_A_FILE, *CALL_SOMEBODY, *LOOK_BEHIND])
def test_no_way_out(place: Place, connection: BankConnection, statement: str) -> None:
    secret_of_the_caller = pa.table({"a": [SECRET]})
    with pytest.raises(SqlError) as caught:
        connection.ask(statement.format(folder=place.folder, port=place.port)).fetchall()
    message = str(caught.value)
    assert message.isprintable()
    assert SECRET not in message
    assert str(Path.home() / ".") not in message.replace(str(place.folder), "")
    assert secret_of_the_caller.num_rows == 1


def test_nothing_was_changed(connection: BankConnection) -> None:
    assert connection.ask("SELECT count(*), any_value(status) FROM images").fetchall() == [
        (3, "accepted")
    ]
    assert connection.ask("FROM duckdb_views() WHERE view_name = 't'").fetchall() == []


def test_the_server_would_have_been_called() -> None:
    """That `_nothing_happens` can fail: the same server, called by a socket."""
    calls: list[object] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            calls.append(self.client_address)

    server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
    with server, socket.create_connection(server.server_address):
        server.handle_request()
    assert len(calls) == 1


def test_what_would_crash_is_refused(place: Place) -> None:
    code = """
import sys
from rim.inspection.sql.connection import connect
from schemas.store.bank import StoredBank
from schemas.errors import SqlError
connection = connect(StoredBank(sys.argv[1]))
for statement in sys.stdin.read().split("\\0"):
    try:
        connection.ask(statement).fetchall()
        sys.exit(f"answered: {statement}")
    except SqlError as error:
        assert str(error).isprintable(), error
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, place.bank],
        input="\0".join(statement.replace("{{", "{").replace("}}", "}") for statement in CRASH),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "question",
    [
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "FROM information_schema.tables",
        "FROM information_schema.columns",
        "FROM duckdb_columns()",
        "FROM duckdb_views()",
        "FROM duckdb_functions() WHERE function_type = 'scalar'",
        "SELECT current_user, current_database(), current_schemas(true), version()",
        "SELECT getvariable('a'), current_query(), txid_current()",
        "SELECT inet_client_addr(), inet_server_addr(), inet_server_port()",
        "SELECT parse_path('~/secret.txt'), parse_filename('/etc/passwd')",
        "SELECT json_serialize_sql('FROM read_text(''secret'')')",
        "SELECT pg_get_viewdef(1), obj_description(1, 'a')",
        "FROM pragma_version()",
    ],
)
def test_what_is_answered_says_nothing_about_the_machine(
    place: Place, connection: BankConnection, question: str
) -> None:
    text = str(connection.ask(question).fetchall())
    for word in (SECRET, str(place.folder), str(Path.home() / ".duckdb"), "secret_directory"):
        assert word not in text


@pytest.mark.parametrize(
    "question",
    [
        "WITH RECURSIVE t AS (SELECT 1 x UNION ALL SELECT x + 1 FROM t) SELECT max(x) FROM t",
        "SELECT count(*) FROM range(100000000000) a, range(100000000000) b",
        "SELECT pg_sleep(1000)",
        "SELECT sleep_ms(1000000)",
        "SELECT * FROM repeat('x', 1000000000000) WHERE random() < 0",
        "SELECT (SELECT max(hash(range)) FROM range(100000000000000))",
        "FROM images WHERE octet_length(png) < 0 OR image_id IN (FROM range(100000000000))",
    ],
)
def test_no_question_takes_for_ever(
    place: Place, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(StoredBank(place.bank), timeout=0.2) as connection:
        with pytest.raises(SqlError, match=r"expected an answer within 0\.2 s.*--timeout"):
            connection.ask(question).fetchall()
        monkeypatch.setattr(connection, "_timeout", None)
        assert connection.ask("SELECT count(*) FROM images").fetchall() == [(3,)]


@pytest.mark.parametrize(
    "question",
    [
        "SELECT * FROM range(100000000)",
        "SELECT list(range) FROM range(100000000)",
        "SELECT string_agg(range::VARCHAR) FROM range(30000000)",
        "SELECT repeat(range::VARCHAR, 100000) FROM range(10000)",
        "SELECT max(n) FROM (SELECT range % 50000000 AS k, count(*) AS n"
        " FROM range(100000000) GROUP BY 1)",
    ],
)
def test_no_question_takes_all_memory(
    place: Place, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rim.inspection.sql.session.MEMORY", 50_000_000)
    with connect(StoredBank(place.bank)) as connection:
        with pytest.raises(SqlError, match=r"at most 0\.1 GB of memory.*LIMIT"):
            connection.ask(question).fetchall()
        assert connection.ask("SELECT count(*) FROM images").fetchall() == [(3,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT repeat('x', 100000000000)",
        "SELECT list_sum(range(100000000000))",
        "SELECT 1 FROM images WHERE",
        "SELECT '\x1b[2J' AS a FROM \"\x1b[2J\"",
        "FROM 'secret.csv'",
        "COPY (SELECT 1) TO 'out.csv'",
        "WITH c AS (COPY (SELECT 1) TO 'out.csv') SELECT 1",
        "SET enable_external_access = true",
        "SELECT current_setting('secret_directory')",
        "SELECT TIMESTAMP 'infinity'",
        "INSTALL httpfs",
        "PIVOT images ON status",
        "EXPLAIN SELECT 1",
        "SELECT $1",
    ],
)
def test_the_command_refuses_in_one_line(
    place: Place, statement: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["sql", str(place.bank), statement, "--format", "json"])
    out, err = capfd.readouterr()
    assert (leaving.value.code, out) == (2, "")
    assert err.startswith("rim: ")
    assert err.removesuffix("\n").isprintable()


def test_the_prompt_has_no_commands_of_a_shell(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ".shell cat secret.txt;\n.read schema.sql;\n!cat secret.txt;\n.once out.csv;\nSELECT 7;"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    with pytest.raises(SystemExit) as leaving:
        main(["sql", str(place.bank), "--format", "csv"])
    out, err = capfd.readouterr()
    assert (leaving.value.code, out) == (0, "7\n7\n")
    assert [line[:5] for line in err.splitlines()] == ["rim: "] * 4
    assert SECRET not in err
