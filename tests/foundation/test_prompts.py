"""Prompts: articles, cleaned benchmark names, and the span of the name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.prompts import article, category_prompt, spoken_name
from schemas.errors import SettingsError

TEMPLATE = "a photo of {category}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("house", "a photo of a house"),
        ("apple", "a photo of an apple"),
        ("grass", "a photo of grass"),
        ("building-other", "a photo of a building"),
        ("Grass-merged", "a photo of Grass"),
        ("the sea", "a photo of the sea"),
    ],
)
def test_the_prompt_of_a_category(name: str, text: str) -> None:
    prompt = category_prompt(name, TEMPLATE, no_article=("grass",))

    assert prompt.text == text
    assert prompt.text[prompt.start : prompt.stop] == spoken_name(name)


@pytest.mark.parametrize(
    ("label", "spoken"),
    [
        ("food-other-merged", "food"),
        ("mirror-stuff", "mirror"),
        ("cabinet-merged", "cabinet"),
        ("wall-brick", "brick wall"),
        ("floor-other", "floor"),
        ("traffic_light", "traffic light"),
        ("hot-air balloon", "hot-air balloon"),
        ("check-in-desk", "check-in-desk"),
        ("mother", "mother"),
        ("other", "other"),
        ("-other", "-other"),
        ("_", "_"),
    ],
)
def test_benchmark_names_are_cleaned(label: str, spoken: str) -> None:
    assert spoken_name(label) == spoken


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("umbrella", "an"),
        ("hour", "an"),
        ("oven", "an"),
        ("x-ray", "an"),
        ("urn", "an"),
        ("uninhabited island", "an"),
        ("house", "a"),
        ("unicorn", "a"),
        ("uniform", "a"),
        ("utensil", "a"),
        ("one-way street", "a"),
        ("euro", "a"),
        ("T-shirt", "a"),
        ("42", "a"),
    ],
)
def test_the_article_follows_the_sound(name: str, expected: str) -> None:
    assert article(name) == expected


def test_the_span_is_the_inserted_name_even_if_the_template_has_the_word() -> None:
    prompt = category_prompt("photo", "a photo, a photo of {category}, photo")

    assert prompt.text == "a photo, a photo of a photo, photo"
    assert (prompt.start, prompt.stop) == (22, 27)


def test_the_templates_own_article_is_enough() -> None:
    assert category_prompt("owl", "a photo of the {category}").text == "a photo of the owl"
    assert category_prompt("owl", "{category}").text == "an owl"


@pytest.mark.parametrize("template", ["a photo", "{category} and {category}", "a photo of {name}"])
def test_a_template_without_one_place_for_the_category_is_refused(template: str) -> None:
    with pytest.raises(SettingsError, match=r"generation\.template"):
        category_prompt("house", template)


@given(st.text(st.characters(exclude_categories=("C",)), min_size=1).filter(str.strip))
def test_the_span_always_holds_the_spoken_name(name: str) -> None:
    prompt = category_prompt(name, TEMPLATE)

    assert prompt.text[prompt.start : prompt.stop] == spoken_name(name) != ""
