"""What can be said of a text without a model: sentences, key phrases, entities, legibility. Pure.

Made for prose in English and tolerant of other languages. Every pattern is linear, and callers hand over
pieces of bounded length.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MOST_PHRASE_WORDS = 4
MOST_WORD_CHARACTERS = 40  # of a word in a phrase; longer ones are none
MOST_ENTITY_CHARACTERS = 100
_PROSE = re.compile(r"[\w\s.,;:!?'\"()\[\]{}/&%$€£+=<>@#*°§\u2013\u2014\u2018-\u201e\u2026-]")

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")

STOPWORDS = frozenset(
    _WORD.findall(
        """a about above after again against all also although am among an and any are as at be because been before
    being below between both but by can cannot could did do does doing down during each either else etc even ever
    every few first for from further had has have having he hence her here hers him his how however i if in into
    is it its itself just last less like made make many may me might more most much must my neither never new no
    nor not now of off often on once one only or other our out over own per quite rather said same second see she
    should since so some still such than that the their them then there therefore these they this those though
    three through thus to too two under until up upon us use used using very was we well were what when where
    whether which while who whom whose why will with within without would yet you your"""
    )
)

_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])[\"'\u201d\u2019)]*\s+|\n\s*\n")
_PHRASE_END = re.compile(r"[^\w\s'\u2019-]+|\n\s*\n")
_ADDRESS = re.compile(r"\b(?:https?://|[\w.+-]{1,64}@)\S{1,200}")
_SPACES = re.compile(r"\s+")
_VOWELS = frozenset("aeiouyäöüáéíóúàèìòùâêîôûåæøœ")

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_ENTITIES = {
    "email": re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63}){1,4}\b"),
    "url": re.compile(r"\bhttps?://[^\s<>\"')\]]{1,200}"),
    "date": re.compile(
        rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}\.? {_MONTH} \d{{4}}|{_MONTH} \d{{1,2}}, \d{{4}})\b"
    ),
    "money": re.compile(
        r"(?:[$€£] ?\d[\d.,]{0,20}|\b\d[\d.,]{0,20} ?(?:€|EUR|USD|GBP|CHF)(?!\w))"
        r"(?: (?:million|billion))?"
    ),
    "name": re.compile(
        r"\b[A-ZÀ-ÖØ-Þ][\w\u2019'-]{1,30}(?: (?:(?:of|de|van|von|du|la) )?[A-ZÀ-ÖØ-Þ][\w\u2019'-]{1,30}){1,3}"
    ),
}


class Entity(NamedTuple):
    kind: str
    text: str


def words(text: str) -> list[str]:
    return _WORD.findall(text)


def telling(text: str) -> list[str]:
    """Its words that carry meaning, in lower case."""
    return [word for word in words(text.lower()) if word not in STOPWORDS and len(word) > 1]


def sentences(text: str) -> list[str]:
    found = (_SPACES.sub(" ", part).strip() for part in _SENTENCE_END.split(text))
    return [sentence for sentence in found if sentence]


def phrases(text: str) -> Iterator[str]:
    """Candidates for key phrases: runs of telling words, in lower case."""
    for part in _PHRASE_END.split(_ADDRESS.sub(" . ", text.lower())):
        run: list[str] = []
        for word in [*words(part), ""]:
            telling = word not in STOPWORDS and 0 < len(word) <= MOST_WORD_CHARACTERS
            if telling and len(run) < MOST_PHRASE_WORDS:
                run.append(word)
                continue
            if len(" ".join(run)) > 2:
                yield " ".join(run)
            run = [word] if telling else []


def key_phrases(counted: Counter[str], most: int) -> list[tuple[str, float]]:
    """The best of all candidates, best first, with a score of at most 1.

    Words that stand in long phrases weigh more than words that are merely frequent (as in RAKE), and a phrase
    counts as often as it occurs. One that lies within a better one is left out.
    """
    degree: Counter[str] = Counter()
    frequency: Counter[str] = Counter()
    for phrase, count in counted.items():
        for word in phrase.split():
            degree[word] += count * len(phrase.split())
            frequency[word] += count
    scores = {
        phrase: sum(degree[word] / frequency[word] for word in phrase.split()) * count**0.7
        for phrase, count in counted.items()
    }
    best: list[tuple[str, float]] = []
    for phrase, score in sorted(scores.items(), key=lambda item: (-item[1], item[0])):
        if not any(f" {phrase} " in f" {better} " for better, _ in best):
            best.append((phrase, score))
        if len(best) == most:
            break
    top = best[0][1] if best else 1.0
    return [(phrase, round(score / top, 3)) for phrase, score in best]


def entities(text: str) -> Iterator[Entity]:
    """Addresses, dates, sums and names, as they are written."""
    for kind, pattern in _ENTITIES.items():
        for match in pattern.finditer(text):
            said = match[0].rstrip(".,;:")
            if kind == "name":
                parts = said.split(" ")
                while parts and parts[0].lower() in STOPWORDS:
                    del parts[0]
                if len(parts) < 2:
                    continue
                said = " ".join(parts)
            yield Entity(kind, said[:MOST_ENTITY_CHARACTERS])


def legible(text: str) -> tuple[int, int]:
    """How many of its visible characters belong into prose, and how many there are."""
    visible = "".join(text.split())
    return len(_PROSE.findall(visible)), len(visible)


def wordlike(text: str) -> tuple[int, int]:
    """How many of its words look like words of some language, and how many there are."""
    found = words(text)
    return sum(_looks_real(word) for word in found), len(found)


def _looks_real(word: str) -> bool:
    if not word.isascii():
        return True
    small = word.lower()
    return len(word) <= 25 and (len(word) < 3 or word.isupper() or any(c in _VOWELS for c in small))


def summary(text: str, most: int) -> list[str]:
    """Its most telling sentences, in their order."""
    said = sentences(text)
    frequency = Counter(telling(text))

    def weight(sentence: str) -> float:
        terms = telling(sentence)
        return sum(frequency[term] for term in terms) / (len(terms) + 3)

    best = sorted(range(len(said)), key=lambda place: (-weight(said[place]), place))[:most]
    return [said[place] for place in sorted(best)]


def answer(question: str, texts: Iterable[str], most: int) -> Iterator[str]:
    """The sentences that fit the question best, each unlike those before it, found one by one."""
    asked = _stems(question)
    waiting = {s: _stems(s) for text in texts for s in sentences(text)}
    frequency = Counter(term for terms in waiting.values() for term in terms)
    most_frequent = max(frequency.values(), default=1)
    told: set[str] = set()

    def worth(sentence: str) -> float:
        terms = waiting[sentence]
        new = terms - told
        fits = sum(3 / frequency[term] for term in terms & asked)
        tells = sum(frequency[term] for term in new) / (4 * most_frequent * (len(new) + 3))
        return (fits + tells) * len(new) / (len(terms) or 1)

    for _ in range(min(most, len(waiting))):
        best = max(waiting, key=worth)
        told |= waiting.pop(best)
        yield best


def _stems(text: str) -> set[str]:
    """Its telling words; one of several things is the same as many."""
    return {word.rstrip("s") for word in telling(text)}
