"""Which categories the small bank is made of, and with which settings."""

from __future__ import annotations

from rim.check.photos import CheckData, read_check_data
from rim.check.workbench import FEWEST_CATEGORIES, IMAGES, MOST_STEPS, check_settings
from rim.check.workbench import choose_categories as choose
from schemas.settings import Settings

DATA: CheckData = read_check_data()


def knowing(*names: str, bare: tuple[str, ...] = ()) -> Settings:
    settings = check_settings("paper")
    generation = settings.generation.model_copy(update={"no_article": bare})
    return settings.model_copy(update={"known_categories": names, "generation": generation})


def test_a_generator_of_any_words_makes_what_the_photographs_show() -> None:
    assert choose(check_settings("paper"), DATA) == DATA.categories


def test_a_generator_of_few_words_makes_those_of_the_photographs_first() -> None:
    found = choose(
        knowing("owl", "Sky", "fog", "cat", "hat", "tie", "mud", bare=("fog", "mud")), DATA
    )
    names = [one.name for one in found]
    assert names[:2] == ["Sky", "cat"]
    assert len(names) == FEWEST_CATEGORIES
    assert [one.name for one in found if one.stuff] == ["fog", "mud"]


def test_all_words_of_a_generator_where_it_has_fewer() -> None:
    assert [one.name for one in choose(knowing("owl", "hat"), DATA)] == ["owl", "hat"]


def test_settings_of_a_small_bank() -> None:
    settings = check_settings("paper")
    assert settings.generation.images_per_category == IMAGES
    assert settings.generation.steps == MOST_STEPS
    assert settings.matching.matcher == "prototype"
    assert check_settings("fast").generation.steps == 2
