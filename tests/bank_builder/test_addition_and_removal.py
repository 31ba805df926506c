"""Categories added to and taken out of finished banks: equal to banks built so at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from bank_builder.build import build_bank, prepare_addition
from bank_builder.removal import remove_categories
from bank_builder.review import give_verdicts
from bank_builder.sources.diffusion import image_seed
from bank_builder.sources.folder import FolderSource
from foundation.interfaces import GeneratedImage, Prompt
from schemas.errors import (
    BankError,
    BuildFailed,
    ModelError,
    OutputError,
    UsageError,
    VocabularyError,
)
from schemas.ids import pack_image_id
from schemas.records import ModelRecord
from schemas.store.bank import StoredBank
from schemas.store.lock import build_lock
from schemas.store.manifests import commit_manifest, list_versions
from schemas.store.verdicts import Verdict, verdicts_folder, write_verdicts
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.equal import assert_equal, facts, shard_files
from tests.bank_builder.photos import fill, photo, save
from tests.bank_builder.stand_in import (
    StandInPainter,
    StandInStack,
    add_categories,
    on_call,
    on_seeds,
    settings,
)

NAMES = ("fish, carp", "owl", "background")


def built(
    out: Path, *names: str, stack: StandInStack | None = None, **generation: object
) -> StoredBank:
    """A bank of those categories, built at once."""
    stack = stack or StandInStack()
    build_bank(vocabulary_from_names(names), out, settings(**generation), stack)
    return StoredBank(out)


def add(out: Path, *names: str, stack: StandInStack | None = None) -> StoredBank:
    """The bank with more categories."""
    add_categories(names, out, stack or StandInStack())
    return StoredBank(out)


def remove(out: Path, *names: str) -> StoredBank:
    """The bank with fewer categories."""
    remove_categories(out, names)
    return StoredBank(out)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bank; to be looked at only."""
    return built(tmp_path_factory.mktemp("finished") / "bank", *NAMES).path


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(finished, tmp_path / "bank"))


def names_of(bank: StoredBank) -> list[tuple[int, str, tuple[str, ...]]]:
    return [(one.category_id, one.name, one.synonyms) for one in bank.categories]


class TestAdd:
    def test_equals_a_bank_that_was_built_at_once(self, out: Path, tmp_path: Path) -> None:
        before, stack = shard_files(out), StandInStack()

        report = add_categories(["ant, emmet", "bee"], out, stack)

        bank = StoredBank(out)
        assert_equal(bank, built(tmp_path / "at once", *NAMES, "ant, emmet", "bee"))
        assert (report.version, report.images, report.changed) == (2, 16, True)
        assert {name for batch in stack.text_to_image.batches for name in batch} == {"ant", "bee"}
        assert before.items() <= shard_files(out).items()
        assert names_of(bank) == [
            (0, "fish", ("carp",)),
            (1, "owl", ()),
            (2, "ant", ("emmet",)),
            (3, "bee", ()),
        ]
        assert bank.manifest.background
        assert not (out / "build.json").exists()

    def test_a_synonym_that_becomes_a_category_is_dropped(self, out: Path, tmp_path: Path) -> None:
        asked = ["carp", "wasp, owl"]

        vocabulary = prepare_addition(asked, out).plan.vocabulary
        bank = add(out, *asked)

        assert_equal(bank, built(tmp_path / "at once", *NAMES, *asked))
        assert names_of(bank) == [(0, "fish", ()), (1, "owl", ()), (2, "carp", ()), (3, "wasp", ())]
        assert len(vocabulary.warnings) == 2
        assert "entry 2: dropped the synonym 'owl' of 'wasp'" in vocabulary.warnings[0]
        assert "dropped the synonym 'carp' of 'fish'" in vocabulary.warnings[1]

    def test_a_grown_vocabulary_file_may_name_a_synonym_too(self, out: Path) -> None:
        grown = vocabulary_from_names([*NAMES, "carp"])

        build_bank(grown, out, settings(), StandInStack())

        assert names_of(StoredBank(out)) == [(0, "fish", ()), (1, "owl", ()), (2, "carp", ())]
        assert not build_bank(grown, out, settings(), StandInStack()).changed

    def test_the_synonym_may_come_back_when_that_category_is_removed(self, out: Path) -> None:
        add(out, "carp")
        remove(out, "carp")

        build_bank(vocabulary_from_names(NAMES), out, settings(), StandInStack())

        assert names_of(StoredBank(out)) == [(0, "fish", ("carp",)), (1, "owl", ())]

    @pytest.mark.parametrize(
        ("names", "error", "message"),
        [
            (["ant", "FISH"], VocabularyError, r"found 'FISH'.*'fish' \(synonyms: carp\) already"),
            (["owl, bird"], VocabularyError, "it has the category 'owl' already"),
            (["ant", "Ant"], VocabularyError, "'Ant' stands twice, on entry 1 and on entry 2"),
            (["ant", "background"], UsageError, "settled when it is built"),
            (["\x1b[2J"], VocabularyError, "entry 1: found the control character"),
            ([" , x"], VocabularyError, "found no name"),
            ([], VocabularyError, "at least one category"),
            ("ant", VocabularyError, "single text"),
        ],
    )
    def test_refuses_what_is_no_new_category(
        self, out: Path, names: Sequence[str], error: type[Exception], message: str
    ) -> None:
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
        with pytest.raises(error, match=message):
            add_categories(names, out, StandInStack())
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    def test_refuses_a_folder_without_a_bank(self, tmp_path: Path) -> None:
        with pytest.raises(BankError, match="found nothing there"):
            add(tmp_path / "nowhere", "ant")
        assert not (tmp_path / "nowhere").exists()

    def test_refuses_what_the_generator_does_not_know(self, tmp_path: Path) -> None:
        knowing = settings().model_copy(update={"known_categories": ("owl", "ant")})
        build_bank(vocabulary_from_names(["owl"]), tmp_path, knowing, StandInStack())
        with pytest.raises(UsageError, match="does not know bee; it knows owl, ant"):
            add(tmp_path, "bee")
        assert names_of(add(tmp_path, "ant"))[1] == (1, "ant", ())

    def test_needs_the_weights_that_made_the_bank(self, out: Path) -> None:
        with pytest.raises(ModelError, match="expected the weights that made the bank"):
            add(out, "ant", stack=StandInStack(weights="f" * 64))
        assert list_versions(out) == [1]

    def test_makes_as_many_images_as_the_bank_has(self, out: Path, tmp_path: Path) -> None:
        more = settings(images_per_category=6)
        build_bank(vocabulary_from_names(NAMES), out, more, StandInStack())

        bank = add(out, "ant")

        assert_equal(bank, built(tmp_path / "at once", *NAMES, "ant", images_per_category=6))

    def test_tells_the_progress_of_the_new_categories(self, out: Path) -> None:
        events = []
        add_categories(["ant"], out, StandInStack(), progress=events.append)
        before = ["weights", "loading", "loading", "loading", "first batch"]
        assert [(event.stage, event.done, event.total) for event in events] == [
            *((stage, 0, 4) for stage in before),
            ("references", 2, 4),
            ("references", 3, 4),
            ("references", 4, 4),
            ("index", 4, 4),
        ]

    def test_goes_on_from_its_finished_shards(self, out: Path, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            add(
                out,
                "ant",
                stack=StandInStack(StandInPainter(before=on_call(3, KeyboardInterrupt()))),
            )
        stack = StandInStack()

        bank = add(out, "ant", stack=stack)

        assert stack.text_to_image.image_count == 1
        assert_equal(bank, built(tmp_path / "at once", *NAMES, "ant"))

    def test_tries_again_what_failed_where_nothing_could_be_made(self, out: Path) -> None:
        bad = [image_seed(0, "ant", number) for number in range(4)]
        with pytest.raises(BuildFailed, match=r"all 4 images failed.*add them again"):
            add(out, "ant", stack=StandInStack(StandInPainter(before=on_seeds(*bad))))
        assert list_versions(out) == [1]

        bank = add(out, "ant")

        assert {row["status"] for row in facts(bank).values()} == {"accepted"}

    def test_goes_by_the_bank_that_is_there_when_its_turn_has_come(self, out: Path) -> None:
        class Slow(StandInStack):
            """While its weights are read, somebody else removes a category."""

            def fingerprints(self, roles: Sequence[str] = ()) -> dict[str, ModelRecord]:
                remove_categories(out, ["fish"])
                return super().fingerprints(roles)

        assert names_of(add(out, "ant", stack=Slow())) == [(1, "owl", ()), (2, "ant", ())]

    def test_no_two_at_once(self, out: Path) -> None:
        with build_lock(out):
            with pytest.raises(OutputError, match="another process"):
                add(out, "ant")
            with pytest.raises(OutputError, match="another process"):
                remove(out, "fish")


class TestAddPhotos:
    def test_equals_a_bank_of_all_photos(self, tmp_path: Path) -> None:
        out = tmp_path / "bank"
        folder = fill(tmp_path / "photos", "owl", "fish", count=4)
        source = FolderSource(folder)
        build_bank(
            vocabulary_from_names(["owl", "fish"]), out, settings(), StandInStack(), source=source
        )
        before = shard_files(out)
        fill(folder, "ant", count=2)

        add_categories(["ant"], out, StandInStack(), source=FolderSource(folder))

        at_once = tmp_path / "at once"
        three = vocabulary_from_names(["owl", "fish", "ant"])
        build_bank(three, at_once, settings(), StandInStack(), source=FolderSource(folder))
        assert_equal(StoredBank(out), StoredBank(at_once))
        assert before.items() <= shard_files(out).items()

    def test_takes_photos_of_the_new_categories_alone(
        self, out: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = fill(tmp_path / "photos", "ant", "fish", count=2)

        add_categories(["ant"], out, StandInStack(), source=FolderSource(folder))

        counts = [key[:2] for key in facts(StoredBank(out))]
        assert {key: counts.count(key) for key in counts} == {
            ("fish", "diffusion"): 4,
            ("owl", "diffusion"): 4,
            ("ant", "folder"): 2,
        }
        assert caplog.text == ""

    def test_what_else_is_in_their_folder_does_not_matter(self, tmp_path: Path) -> None:
        out, first = tmp_path / "bank", fill(tmp_path / "first", "owl", count=2)
        owl = vocabulary_from_names(["owl"])
        build_bank(owl, out, settings(), StandInStack(), source=FolderSource(first))
        second = fill(tmp_path / "second", "ant", count=2)
        save(second, "owl/a.png", photo("owl", 20))  # another one than the bank's owl/a.png

        add_categories(["ant"], out, StandInStack(), source=FolderSource(second))

        assert [key[::2] for key in facts(StoredBank(out))] == [
            ("owl", 0),
            ("owl", 1),
            ("ant", 0),
            ("ant", 1),
        ]

    def test_generates_for_the_new_categories_alone(self, out: Path, tmp_path: Path) -> None:
        folder = fill(tmp_path / "photos", "ant", count=2)
        add_categories(["ant"], out, StandInStack(), source=FolderSource(folder))
        stack = StandInStack()

        add(out, "bee", stack=stack)

        assert {name for batch in stack.text_to_image.batches for name in batch} == {"bee"}

    def test_a_bank_of_photos_asks_for_photos(self, tmp_path: Path) -> None:
        out, source = tmp_path / "bank", FolderSource(fill(tmp_path / "photos", "owl"))
        build_bank(vocabulary_from_names(["owl"]), out, settings(), StandInStack(), source=source)
        with pytest.raises(UsageError, match=r"are photos.*--source folder:DIR"):
            add(out, "ant")

    def test_a_new_category_needs_photos(self, out: Path, tmp_path: Path) -> None:
        source = FolderSource(fill(tmp_path / "photos", "fish"))
        with pytest.raises(UsageError, match="found none of ant"):
            add_categories(["ant"], out, StandInStack(), source=source)


class TestRemove:
    def test_equals_a_bank_that_was_built_without(self, out: Path, tmp_path: Path) -> None:
        before = shard_files(out)

        removal = remove_categories(out, ["Fish", "fish"])

        bank = StoredBank(out)
        assert_equal(bank, built(tmp_path / "at once", "owl", "background"))
        assert (removal.removed, removal.emptied) == (("fish",), ())
        assert (removal.bank.version, removal.bank.images, removal.bank.features) == (2, 4, 8)
        assert names_of(bank) == [(1, "owl", ())]
        assert {shard.category for shard in bank.manifest.shards} == {"owl"}
        # The older version is there to the last byte.
        assert shard_files(out) == before
        assert StoredBank(out, version=1).images_table().num_rows == 8
        assert len(StoredBank(out, version=1).features().feature_id) == 16

    def test_the_rest_is_compared_again(self, tmp_path: Path) -> None:
        """Two owls that look like fish are wrong beside fish, and right without."""
        strays = {image_seed(0, "owl", number) for number in (1, 4)}

        class Stray(StandInPainter):
            def _paint(self, prompt: Prompt, seed: int) -> GeneratedImage:
                if seed in strays:
                    prompt = Prompt("fish", 0, 4)
                return super()._paint(prompt, seed)

        def stack() -> StandInStack:
            return StandInStack(Stray())

        wide = {"images_per_category": 12}
        both = built(tmp_path / "both", "owl", "fish", "ant", stack=stack(), **wide)
        reasons = [row["reason"] for row in facts(both).values() if row["status"] == "rejected"]
        assert len(reasons) == 2
        assert all("nearer to another category, fish" in str(reason) for reason in reasons)

        without = remove(both.path, "fish")

        assert_equal(without, built(tmp_path / "at once", "owl", "ant", stack=stack(), **wide))
        assert not any("fish" in str(row["reason"]) for row in facts(without).values())
        back = add(both.path, "fish", stack=stack())
        assert_equal(back, StoredBank(both.path, version=1))

    def test_an_id_is_never_given_again(self, out: Path) -> None:
        remove(out, "owl")
        assert names_of(add(out, "ant")) == [(0, "fish", ("carp",)), (2, "ant", ())]
        assert names_of(add(out, "owl"))[2] == (3, "owl", ())
        assert names_of(remove(out, "owl", "ant")) == [(0, "fish", ("carp",))]
        assert names_of(add(out, "bee"))[1] == (4, "bee", ())

    def test_adding_and_removing_leaves_what_there_was(self, out: Path, tmp_path: Path) -> None:
        before = shutil.copytree(out, tmp_path / "before")
        add(out, "ant")
        assert_equal(remove(out, "ant"), StoredBank(before))

    def test_a_persons_verdicts_on_it_go_and_the_others_stay(self, out: Path) -> None:
        fish, owl = pack_image_id(0, "diffusion", 1), pack_image_id(1, "diffusion", 2)
        give_verdicts(out, [fish, owl], "rejected", "blurred")

        assert [verdict.image_id for verdict in remove(out, "fish").verdicts] == [owl]
        assert [verdict.image_id for verdict in add(out, "fish").verdicts] == [owl]

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["fisch"], r"found 'fisch' \(did you mean fish\?\); it has fish, owl"),
            (["owl", "carp"], "found 'carp', which is a synonym of 'fish'"),
            (["owl", "fish"], "at least one category"),
            (["background"], "found 'background'"),
            ([], "found none"),
            ("owl", "single text"),
        ],
    )
    def test_refuses_what_cannot_go(self, out: Path, names: Sequence[str], message: str) -> None:
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
        with pytest.raises(UsageError, match=message):
            remove_categories(out, names)
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    def test_refuses_a_folder_without_a_bank(self, tmp_path: Path) -> None:
        with pytest.raises(BankError, match="found nothing there"):
            remove(tmp_path / "nowhere", "fish")
        assert not (tmp_path / "nowhere").exists()

    def test_a_build_without_it_says_how(self, out: Path) -> None:
        owl = vocabulary_from_names(["owl", "background"])
        with pytest.raises(BankError, match=r"'fish' is missing.*: rim remove"):
            build_bank(owl, out, settings(), StandInStack())
        remove(out, "fish")
        assert not build_bank(owl, out, settings(), StandInStack()).changed

    def test_an_interrupt_leaves_the_bank_as_it_was(
        self, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*arguments: object) -> None:
            raise KeyboardInterrupt

        before = shutil.copytree(out, tmp_path / "before")
        with monkeypatch.context() as patch:
            patch.setattr("bank_builder.commit.commit_manifest", interrupt)
            with pytest.raises(KeyboardInterrupt):
                remove(out, "fish")
        assert list_versions(out) == [1]
        assert_equal(StoredBank(out), StoredBank(before))
        assert names_of(remove(out, "fish")) == [(1, "owl", ())]

    def test_a_strangers_verdict_on_no_image_at_all_is_dropped(self, out: Path) -> None:
        manifest = StoredBank(out).manifest
        nobody = Verdict(-5, "rejected", "who knows", "person")
        record = write_verdicts(verdicts_folder(out) / "000002.parquet", [nobody])
        commit_manifest(out, manifest.model_copy(update={"version": 2, "verdicts": record}))

        assert remove(out, "fish").verdicts == ()

    def test_the_libraries_that_made_the_shards_stay_named(self, out: Path) -> None:
        made_by = StoredBank(out).manifest.libraries
        assert remove(out, "fish").manifest.libraries == made_by
        assert set(StoredBank(out).manifest.seconds) == {"index"}


def interrupted(out: Path, *names: str, number: int, **generation: object) -> None:
    """A build of those names that was stopped before its image of that number."""
    stack = StandInStack(StandInPainter(before=on_call(number, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        built(out, *names, stack=stack, **generation)


class TestUnfinishedBuilds:
    """What an interrupted build has finished is never lost, whatever happens to the bank."""

    def test_a_change_leaves_it_alone(self, out: Path, tmp_path: Path) -> None:
        interrupted(out, *NAMES, "bee", "ant", number=7)  # bee is finished, and 3 of 4 ants
        plan, before = (out / "build.json").read_bytes(), shard_files(out)

        give_verdicts(out, [pack_image_id(0, "diffusion", 1)], "rejected")
        remove(out, "owl")

        assert (out / "build.json").read_bytes() == plan
        assert shard_files(out) == before
        stack = StandInStack()
        bank = built(out, "fish, carp", "background", "bee", "ant", stack=stack)
        assert stack.text_to_image.image_count == 1
        assert names_of(bank)[1:] == [(2, "bee", ()), (3, "ant", ())]
        assert [verdict.by for verdict in bank.verdicts] == ["person"]

    def test_more_images_too(self, out: Path) -> None:
        interrupted(out, *NAMES, number=3, images_per_category=6)  # two more fish
        remove(out, "owl")
        stack = StandInStack()
        built(out, "fish, carp", "background", stack=stack, images_per_category=6)
        assert stack.text_to_image.image_count == 0

    def test_another_vocabulary_does_not_take_its_ids(self, out: Path) -> None:
        interrupted(out, *NAMES, "bee", "ant", number=7)

        assert names_of(add(out, "wasp"))[2:] == [(4, "wasp", ())]

        stack = StandInStack()
        bank = built(out, *NAMES, "wasp", "ant", "bee", "yak", stack=stack)
        assert stack.text_to_image.image_count == 1 + 4
        assert names_of(bank)[2:] == [
            (2, "bee", ()),
            (3, "ant", ()),
            (4, "wasp", ()),
            (5, "yak", ()),
        ]

    def test_its_shards_alone_say_whose_they_are(self, out: Path, tmp_path: Path) -> None:
        interrupted(out, *NAMES, "bee", "ant", number=7)
        (out / "build.json").unlink()

        stack = StandInStack()
        bank = add(out, "ant", "Bee", "bee-eater", stack=stack)

        # Another spelling is another prompt, and no shard of it is there.
        assert names_of(bank)[2:] == [(3, "ant", ()), (4, "Bee", ()), (5, "bee-eater", ())]
        assert stack.text_to_image.image_count == 1 + 4 + 4

    def test_a_first_build_too(self, tmp_path: Path) -> None:
        interrupted(tmp_path, "bee", "ant", number=7)
        (tmp_path / "build.json").unlink()
        stack = StandInStack()
        bank = built(tmp_path, "wasp", "ant", "bee", stack=stack)
        assert names_of(bank) == [(0, "bee", ()), (1, "ant", ()), (2, "wasp", ())]
        assert stack.text_to_image.image_count == 1 + 4

    def test_the_id_of_a_shard_that_cannot_be_read_stays_taken(
        self, out: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        interrupted(out, *NAMES, "bee", number=3)
        (out / "build.json").unlink()
        (sidecar,) = (out / "shards").glob("c00002-*/shard.json")
        sidecar.write_text("{}")

        assert names_of(add(out, "ant", "bee"))[2:] == [(3, "ant", ()), (4, "bee", ())]

        assert "a finished shard cannot be used" in caplog.text

    def test_a_shard_under_another_ones_name_is_not_believed(self, out: Path) -> None:
        interrupted(out, *NAMES, "bee", number=3)
        (out / "build.json").unlink()
        (folder,) = (out / "shards").glob("c00002-*")
        folder.rename(folder.with_name(folder.name.replace("c00002", "c00007")))

        assert names_of(add(out, "bee"))[2:] == [(8, "bee", ())]

    def test_an_id_that_only_the_disk_knows_is_not_given_away(self, out: Path) -> None:
        interrupted(out, *NAMES, "bee", number=1)
        plan = (out / "build.json").read_bytes()
        interrupted(out, *NAMES, "bee", "ant", number=7)
        (out / "build.json").write_bytes(plan)

        assert names_of(add(out, "wasp", "ant"))[2:] == [(3, "ant", ()), (4, "wasp", ())]

    def test_where_plan_and_disk_disagree_the_disk_is_right(
        self, out: Path, tmp_path: Path
    ) -> None:
        other = Path(shutil.copytree(out, tmp_path / "other"))
        interrupted(other, *NAMES, "ant", number=3)
        interrupted(out, *NAMES, "bee", number=1)
        (folder,) = (other / "shards").glob("c00002-*")
        shutil.copytree(folder, out / "shards" / folder.name)

        assert names_of(add(out, "bee", "ant"))[2:] == [(2, "ant", ()), (3, "bee", ())]

    def test_photos_keep_the_numbers_that_it_gave_them(self, tmp_path: Path) -> None:
        out, folder = tmp_path / "bank", fill(tmp_path / "photos", "owl", count=5)
        built(out, "fish")
        both = vocabulary_from_names(["fish", "owl"])
        stack, calls = StandInStack(), iter(range(100))

        def interrupt() -> None:
            if next(calls) == 3:
                raise KeyboardInterrupt

        stack.segmenter.before = interrupt
        with pytest.raises(KeyboardInterrupt):
            build_bank(both, out, settings(), stack, source=FolderSource(folder))
        add(out, "ant")  # writes a plan of its own
        save(folder, "owl/0.png", photo("owl", 9))  # sorts in front of the others

        three = vocabulary_from_names(["fish", "owl", "ant"])
        report = build_bank(three, out, settings(), StandInStack(), source=FolderSource(folder))

        assert report.reused_shards == 1
        table = StoredBank(out).images_table(["category", "source", "file"]).to_pylist()
        files = [row["file"] for row in table if row["source"] == "folder"]
        assert files[:3] == ["owl/a.png", "owl/b.png", "owl/c.png"]
        assert sorted(files[3:]) == ["owl/0.png", "owl/d.png", "owl/e.png"]


class FourRoles(StandInStack):
    """As builds did that recorded a text-image model, which they had no use of."""

    def fingerprints(self, roles: Sequence[str] = ()) -> dict[str, ModelRecord]:
        return super().fingerprints((*roles, "text_image"))


def test_a_bank_that_recorded_a_text_image_model(tmp_path: Path) -> None:
    old = built(tmp_path / "bank", *NAMES, stack=FourRoles())
    assert "text_image" in old.manifest.models
    record = old.manifest.models["text_image"]
    larger = add(old.path, "cup")
    assert larger.manifest.models["text_image"] == record
    assert set(larger.manifest.models) == {"text_to_image", "segmenter", "features", "text_image"}
    assert_equal(larger, built(tmp_path / "at once", *NAMES, "cup"))
    # Another text-image model is nothing to a build, another of the others is.
    with pytest.raises(ModelError, match=r"models\.text_to_image: expected the weights that made"):
        add(old.path, "key", stack=StandInStack(weights="1" * 64))
