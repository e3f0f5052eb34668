"""What is said of a text: sentences, phrases, entities, and how legible it is."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import language


def test_sentences_end_where_they_end():
    text = 'He said: "Stop!" Nobody\nstopped. At 9.30 a.m? Yes…\n\nA heading\n\nThe end'
    assert language.sentences(text) == [
        'He said: "Stop!',
        "Nobody stopped.",
        "At 9.30 a.m?",
        "Yes…",
        "A heading",
        "The end",
    ]


def test_a_phrase_is_a_run_of_telling_words():
    text = "The quick brown fox jumped over the lazy dog. Write to me@example.org, please."
    assert list(language.phrases(text)) == [
        "quick brown fox jumped",
        "lazy dog",
        "write",
        "please",
    ]


def test_the_best_phrases_come_first_and_none_within_another():
    counted = Counter({"solar power": 5, "solar": 9, "rain": 2, "wind power plant": 1})
    best = language.key_phrases(counted, 3)
    assert [phrase for phrase, _ in best] == ["solar power", "wind power plant", "rain"]
    assert best[0][1] == 1.0


def test_no_phrases_are_no_error():
    assert language.key_phrases(Counter(), 5) == []


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("write to ada.l+x@mail.example.org.", "email", "ada.l+x@mail.example.org"),
        ("see https://example.org/a?b=1, and", "url", "https://example.org/a?b=1"),
        ("on 2024-02-29 or", "date", "2024-02-29"),
        ("on 3 March 2021 we", "date", "3 March 2021"),
        ("on March 3, 2021 we", "date", "March 3, 2021"),
        ("it cost $1,500.50.", "money", "$1,500.50"),
        ("it cost 12 EUR each", "money", "12 EUR"),
        ("for £3 million", "money", "£3 million"),
        ("and Ada Lovelace wrote", "name", "Ada Lovelace"),
        ("The Bank of England said", "name", "Bank of England"),
        ("and Élodie Müller wrote", "name", "Élodie Müller"),
    ],
)
def test_an_entity_is_found_as_it_is_written(text, kind, found):
    assert language.Entity(kind, found) in list(language.entities(text))


@pytest.mark.parametrize("text", ["The End", "on 2024-1-1", "a@b", "$", "plain words", "I Am"])
def test_what_only_looks_like_one_is_none(text):
    assert list(language.entities(text)) in ([], [language.Entity("name", text)])


def test_legibility_counts_what_belongs_into_prose():
    assert language.legible("Prose, “quoted” \u2013 mostly.") == (22, 22)
    assert language.legible("a\ufffd\ufffdb \u25a1") == (2, 5)


def test_words_that_could_be_said_look_like_words():
    assert language.wordlike("Nothing wrong with WWW or 中文") == (6, 6)
    assert language.wordlike("xkcdq zzrtk fine") == (1, 3)


def test_an_answer_begins_with_what_was_asked_for():
    texts = ["Rivers flow to the sea. Mountains rise.", "The sea is salty. Bread is baked."]
    answer = list(language.answer("Why is the sea salty?", texts, 2))
    assert answer[0] == "The sea is salty."
    assert len(answer) == len(set(answer)) == 2


def test_a_summary_keeps_the_order():
    text = "Solar power grows. It rains. Solar power plants make power. Bye."
    assert language.summary(text, 2) == ["Solar power grows.", "Solar power plants make power."]


@given(st.text())
def test_any_text_can_be_talked_about(text):
    list(language.entities(text))
    language.key_phrases(Counter(language.phrases(text)), 5)
    clean, visible = language.legible(text)
    real, words = language.wordlike(text)
    assert 0 <= clean <= visible
    assert 0 <= real <= words
    assert list(language.answer(text, [text], 3)) or not language.sentences(text)
    assert language.summary(text, 3) or not language.sentences(text)
