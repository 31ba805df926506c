"""Progress: lines now and then without a terminal, a bar on one; the log; seconds of stages."""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import rim
from bank_builder.build import build_bank
from bank_builder.report import BuildProgress
from rim.cli.logs import RunLog, close_log, emit, open_log, told_in_lines
from rim.cli.progress import (
    _PlainLines,
    _Status,
    build_progress,
    counter,
    resumed_counter,
    stages,
)
from rim.wording import duration
from schemas.errors import OutputError
from schemas.store.shards import shards_folder
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import StandInPainter, StandInStack, on_call, settings
from tests.rim.conftest import Run


def _event(done: int, stage: str = "references", category: str | None = "fish") -> BuildProgress:
    return BuildProgress(stage, done, 10, category, done, 0, 0, 1.0)


def test_a_counter_ends_with_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    with counter("labelling", 2) as advance:
        advance()
        advance()
    assert capfd.readouterr().err == "labelling 2/2\n", "no rate of what took no time"


def test_reused_images_do_not_count_in_the_rate(capfd: pytest.CaptureFixture[str]) -> None:
    with build_progress() as progress:
        progress(_event(10, category=None))
    assert capfd.readouterr().err == "images 10/10 accepted 100%, references\n"


def test_a_build_shows_life_before_its_first_image(capfd: pytest.CaptureFixture[str]) -> None:
    def event(stage: str, category: str | None = None, role: str | None = None) -> BuildProgress:
        return BuildProgress(stage, 4, 10, category, 3, 1, 0, 1.0, role)

    with build_progress() as progress:
        progress(event("weights"))
        for role in ("text_to_image", "segmenter", "segmenter"):
            progress(event("loading", role=role))
        progress(event("trial", "fish"))
        progress(event("first batch", "fish"))
    lines = capfd.readouterr().err.splitlines()
    assert lines == [
        f"images 4/10 accepted 75%, {words}"
        for words in (
            "finding and checking the weights",
            "loading text_to_image",
            "loading segmenter",
            "trying how many images fit into the memory",
            "making the first batch: fish",
        )
    ]


def test_the_rate_is_that_of_this_runs_own_images(capfd: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = _PlainLines("images", clock=lambda: now)
    lines.show(_Status(600, 1000, 600, "loading", "loading", waiting=True))
    now = 100.0
    lines.show(_Status(600, 1000, 600, "first batch", "first batch", waiting=True))
    now = 300.0  # a batch of 2 in 200 s, loading aside
    lines.show(_Status(602, 1000, 600, "references", "references"))
    written = capfd.readouterr().err.splitlines()
    assert written == [
        "images 600/1000 loading",
        "images 600/1000 first batch",
        "images 602/1000 1 min 40 s each 11 h 03 min left references",
    ]


def test_nothing_is_ever_made_at_no_rate() -> None:
    shown = [_Status(1, 9).rate(pace) for pace in (0.0, 1e-4, 0.02, 0.2, 0.99, 1.0, 31.4)]
    each = ["2 h 46 min each", "50 s each", "5.0 s each", "1.0 s each"]
    assert shown == ["", *each, "1.0/s", "31.4/s"]
    bytes_ = [_Status(1, 9, are_bytes=True).rate(pace) for pace in (0.0, 200.0, 5e4, 2e6)]
    assert bytes_ == ["", "0.2 kB/s", "50.0 kB/s", "2.0 MB/s"]


def test_a_counter_and_an_estimate_name_their_stages(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    open_log(log, "query")
    with resumed_counter("labelling") as advance:
        advance.loading("features")
        advance.loading("segmenter")
        advance.stage("first photo")
        advance(1, 1)
    with stages("estimate") as stage:
        stage("loading text_to_image")
        stage("timing generate")
    close_log(0)
    assert capfd.readouterr().err.splitlines() == [
        "labelling loading features",
        "labelling loading segmenter",
        "labelling first photo",
        "labelling 1/1",
        "estimate loading text_to_image",
        "estimate timing generate",
    ]
    told = [one for one in read_log(log) if one["event"] == "stage"]
    assert [(one["what"], one["stage"]) for one in told] == [
        ("labelling", "loading features"),
        ("labelling", "loading segmenter"),
        ("labelling", "first photo"),
        ("estimate", "loading text_to_image"),
        ("estimate", "timing generate"),
    ]


WAITING = """
import sys
from bank_builder.report import BuildProgress
from rim.cli.progress import build_progress
with build_progress() as show:
    show(BuildProgress("loading", 0, 10, None, 0, 0, 0, 0.0, "text_to_image"))
    sys.stdin.readline()
    show(BuildProgress("first batch", 0, 10, "fish", 0, 0, 0, 1.3))
    sys.stdin.readline()
"""


def test_a_terminal_shows_stage_and_seconds_before_the_first_image() -> None:
    pexpect = pytest.importorskip("pexpect")
    terminal = pexpect.spawn(
        sys.executable,
        ["-c", WAITING],
        cwd=Path(__file__).parents[3],
        dimensions=(24, 100),
        env={"TERM": "xterm", "PATH": ""},
        encoding="utf-8",
        timeout=300,
        echo=False,
    )
    # The seconds go on while nothing is told: the program waits until they have been seen.
    written = ""
    for seen in (
        r"(?!0:00:00)\d:\d\d:\d\d[^\r\n]*loading text_to_image",
        r"(?!0:00:00)\d:\d\d:\d\d[^\r\n]*first batch: fish",
    ):
        terminal.expect(seen)
        written += terminal.before + terminal.after
        terminal.sendline()
    terminal.expect(pexpect.EOF)
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written + terminal.before)
    assert "making the first batch: fish" in written
    assert not re.search(r"[0-9.]+(/s| s each)| left", written)


def test_a_build_names_stage_and_category(capfd: pytest.CaptureFixture[str]) -> None:
    with build_progress() as progress:
        progress(_event(0, category=None))
        progress(_event(10))
        progress(_event(10, "index", None))
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].endswith("accepted 100%, references fish")
    assert lines[1].endswith("accepted 100%, index")


@pytest.mark.parametrize(
    ("seconds_an_item", "items", "between"),
    [
        (0.01, 20_000, 10),  # 200 s: 10 s are 5 %
        (0.01, 2_000, 20),  # 20 s: one half way and one at the end
        (1, 1_000, 50),  # 5 % are 50 s
        (10, 1_000, 60),  # 5 % are longer than anybody likes to hear nothing
    ],
)
def test_lines_come_now_and_then(
    capfd: pytest.CaptureFixture[str], seconds_an_item: float, items: int, between: float
) -> None:
    now = 0.0
    lines = _PlainLines("images", clock=lambda: now)
    times = []
    for done in range(1, items + 1):
        now += seconds_an_item
        lines.show(_Status(done, items))
        if capfd.readouterr().err:
            times.append(now)
    gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert len(times) > 1
    assert max(gaps) <= between + 2 * seconds_an_item
    assert min(gaps[:-1]) >= min(between, 10) - 2 * seconds_an_item


def test_numbers_are_for_people() -> None:
    bytes_of_a_model = _Status(3_000_000, 9_000_000, are_bytes=True)
    assert bytes_of_a_model.count() == "3.0/9.0 MB"
    assert bytes_of_a_model.rate(2e6) == "2.0 MB/s"
    assert bytes_of_a_model.left(2e6) == "3 s left"
    assert _Status(0, 9).left(0.0) == _Status(0, 9).rate(0.0) == ""
    assert [duration(s) for s in (0.4, 59, 61, 3599, 3600 * 5 + 7 * 60)] == [
        *("0 s", "59 s", "1 min 01 s", "59 min 59 s", "5 h 07 min")
    ]


BAR = """
import logging, time, warnings
from bank_builder.report import BuildProgress
from rim.cli.logs import told_in_lines
from rim.cli.progress import build_progress
with told_in_lines(), build_progress() as show:
    show(BuildProgress("references", 4, 10, "[bold]fish", 3, 1, 0, 1.0))
    logging.getLogger("bank_builder.x").warning("one\\nline \\x1b[31m")
    warnings.warn("old", UserWarning)
    time.sleep(0.1)  # at least, so that there is a rate
    show(BuildProgress("references", 8, 10, "[bold]fish", 6, 2, 0, 2.0))
"""


def test_warnings_do_not_break_the_bar() -> None:
    pexpect = pytest.importorskip("pexpect")
    terminal = pexpect.spawn(
        sys.executable,
        ["-c", BAR],
        cwd=Path(__file__).parents[3],
        dimensions=(24, 100),
        env={"TERM": "xterm", "PATH": ""},
        encoding="utf-8",
        timeout=300,
    )
    terminal.expect(pexpect.EOF)
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.before)
    lines = [line.strip() for line in re.split(r"[\r\n]+", written)]
    assert any(line.endswith("rim: warning: one line \\x1b[31m") for line in lines)
    assert any(line.endswith("rim: warning: UserWarning: old") for line in lines)
    (last,) = {line for line in lines if "8/10" in line}
    assert last.endswith("accepted 75%, references [bold]fish")
    assert "left" in last


def test_what_others_log_is_one_line_with_their_name(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(), told_in_lines():
        warnings.simplefilter("default")
        logging.getLogger("urllib3.pool").warning("retry\n  again")
        logging.getLogger("schemas.store.lock").error("two\nlines")
        logging.getLogger("rim.x").info("not this")
        warnings.warn("old\nway", DeprecationWarning, stacklevel=1)
        logging.getLogger("rim").warning("of a function")
    assert capfd.readouterr().err.splitlines() == [
        "rim: warning: urllib3.pool: retry again",
        "rim: error: two lines",
        "rim: warning: DeprecationWarning: old way",
        "rim: warning: of a function",
    ]
    assert not any("OneLine" in type(one).__name__ for one in logging.getLogger().handlers)


def test_an_operation_that_mps_lacks_is_one_short_line(capfd: pytest.CaptureFixture[str]) -> None:
    words = (
        "The operator 'aten::_upsample_bicubic2d_aa.out' is not currently supported on the MPS "
        "backend and will fall back to run on the CPU. This may have performance implications. "
        "(Triggered internally at /a/path/ATen/mps/MPSFallback.mm:13.)"
    )
    with warnings.catch_warnings(), told_in_lines():
        warnings.simplefilter("default")
        warnings.warn(words, UserWarning, stacklevel=1)
    assert capfd.readouterr().err == (
        "rim: warning: MPS lacks aten::_upsample_bicubic2d_aa.out: this and other such operations "
        "run on the CPU, slower\n"
    )


def read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_log_is_appended_to_and_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    open_log(path, "build")
    emit("progress", done=1, place=tmp_path, name="\ud800")
    with warnings.catch_warnings(), told_in_lines():
        logging.getLogger("bank_builder").warning("no memory left")
    before = [one["event"] for one in read_log(path)]
    close_log(status=3)
    emit("progress", done=2)  # no log any more
    open_log(path, "query")
    close_log(0)
    events = read_log(path)
    assert before == ["start", "progress", "warning"]
    assert [one["event"] for one in events] == [*before, "end", "start", "end"]
    assert events[1]["place"] == str(tmp_path)
    assert events[1]["name"] == "\ud800"
    assert events[2]["logger"] == "bank_builder"
    assert events[2]["message"] == "no memory left"
    assert events[3]["status"] == 3
    assert all(re.fullmatch(r"\d{4}-.*T.*\.\d{3}\+00:00", one["time"]) for one in events)


def test_a_log_that_cannot_be_written(tmp_path: Path, run: Run, built: Path) -> None:
    with pytest.raises(OutputError, match="--log-json: expected a file"):
        RunLog(tmp_path)
    outcome = run("query", built, "x.png", "--out", tmp_path, "--log-json", tmp_path / "no" / "log")
    assert outcome.status == 2
    assert outcome.err.startswith("rim: --log-json: expected a file that can be written")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_ends_the_log_and_not_the_work(capfd: pytest.CaptureFixture[str]) -> None:
    with told_in_lines():
        open_log(Path("/dev/full"), "build")
        emit("progress", done=1)
        close_log(0)
    assert capfd.readouterr().err == (
        "rim: warning: /dev/full: the log ends here (No space left on device)\n"
    )


def test_commands_write_the_log(
    run: Run, built: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    options = ("--log-json", log, "--offline")
    out = tmp_path / "labels"
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert run("query", built, scene, broken, "--out", out, *options).status == 3
    events = read_log(log)
    names = [one["event"] for one in events]
    assert names[0] == "start"
    assert names.count("progress") == 2
    assert names[-2:] == ["result", "end"]
    (left_out,) = (one for one in events if one["event"] == "left_out")
    assert "broken.png" in left_out["error"]
    assert events[-1]["status"] == 3

    assert run("query", built, tmp_path / "none.png", "--out", out, *options).status == 2
    error, end = read_log(log)[-2:]
    assert error["event"] == "error"
    assert "none.png" in error["message"]
    assert (end["event"], end["status"]) == ("end", 2)


def test_seconds_are_those_of_the_shards(opened: rim.Bank) -> None:
    seconds = dict(opened.manifest.seconds)
    assert seconds.pop("index") > 0
    for stage, value in seconds.items():
        assert value == pytest.approx(sum(one.seconds[stage] for one in opened.shards), abs=1e-2)


def test_seconds_count_what_was_done_before_an_interrupt(tmp_path: Path) -> None:
    out, words = tmp_path / "bank", vocabulary_from_names(["fish", "owl"])
    # The second shard's first picture: the first shard is there by then.
    interrupted = StandInStack(StandInPainter(before=on_call(4, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        build_bank(words, out, settings(), interrupted)
    assert list(shards_folder(out).glob("*/shard.json")), "something was done before"
    report = build_bank(words, out, settings(), StandInStack())
    assert report.reused_shards > 0
    test_seconds_are_those_of_the_shards(rim.open(out))
