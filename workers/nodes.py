"""What each kind of node does with the results of the nodes before it.

A result is a dict with `text`, which the next nodes work on, and with whatever else is worth seeing.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from statistics import fmean
from typing import Any, NamedTuple

from headway import emit, report, stage
from headway.errors import Failure
from workers import language, site
from workers.places import Place

Result = dict[str, Any]

MOST_CHARACTERS = 1_000_000  # of a text: joined again and again, texts would grow without end
MOST_ROWS = 20  # in a table of frequencies
SUMMARY_SENTENCES = 5
ANSWER_SENTENCES = 5
SENTENCE_WORDS = 60  # of each that are told: each is an event
WORD_CHARACTERS = 60


class Job(NamedTuple):
    """One node that is about to run."""

    id: str
    params: Mapping[str, Any]
    prompt: str
    inputs: Mapping[str, Result]  # results by the ids of the nodes they come from
    place: Place

    @property
    def text(self) -> str:
        """What it works on: its predecessors' texts, or the prompt if it has none."""
        texts = [result["text"] for result in self.inputs.values()] or [self.prompt]
        return "\n\n".join(texts)[:MOST_CHARACTERS]

    def chosen(self, among: Mapping[str, Callable[[str], Any]]) -> Callable[[str], Any]:
        """The function that its params name. Whoever sent the graph has checked it, but may be newer than this."""
        operation = str(self.params.get("operation"))
        if operation not in among:
            raise Failure(
                f"This worker knows no operation {operation!r} here; it knows {', '.join(among)}."
            )
        return among[operation]


def fetch(job: Job) -> Result:
    """A page of this site, as it is."""
    path = str(job.params.get("path", ""))
    report(f"asking for {path}")
    found = site.fetch(path)
    report(f"{found.bytes:,} bytes" + ("" if found.whole else ", and there is more"))
    return {"text": found.text, "path": path, "type": found.type, "bytes": found.bytes}


def compute(job: Job) -> Result:
    """Figures."""
    values = job.chosen(COMPUTATIONS)(job.text)
    said = "; ".join(f"{name}: {value}" for name, value in values.items())
    return {"text": said, "values": values}


def transform(job: Job) -> Result:
    """One text made into another."""
    return {"text": job.chosen(TRANSFORMATIONS)(job.text)}


def store(job: Job) -> Result:
    """The results of the nodes before it (or the prompt), in a file."""
    kept = {"prompt": job.prompt, "inputs": job.inputs}
    name = f"{_SAFE.sub('-', job.id)}.json"
    url = job.place.keep(name, kept)
    size = (job.place.folder / name).stat().st_size
    report(f"{size:,} bytes")
    return {"text": job.text, "url": url, "bytes": size}


def write(job: Job) -> Result:
    """An answer to the prompt made of its inputs' sentences, told word by word as they are found."""
    most = int(job.params.get("sentences", ANSWER_SENTENCES))
    told: list[str] = []
    report(total=most)
    for sentence in language.answer(job.prompt, [job.text], most):
        for word in sentence.split()[:SENTENCE_WORDS]:
            token = word[:WORD_CHARACTERS] if not told else f" {word[:WORD_CHARACTERS]}"
            told.append(token)
            emit("token", {"node": job.id, "text": token})
        stage(job.id).advance()
    return {"text": "".join(told), "tokens": len(told)}


def plain_text(text: str) -> str:
    """Without the tags, scripts and styles of HTML."""
    reader = _Visible()
    reader.feed(text)
    reader.close()
    return " ".join(" ".join(reader.said).split())


class _Visible(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._hidden = 0  # how many elements that show nothing are open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in _UNSEEN

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in _UNSEEN))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.said.append(data)


def _words(text: str) -> dict[str, int]:
    words = language.words(text)
    return {
        "words": len(words),
        "different": len({word.lower() for word in words}),
        "sentences": len(language.sentences(text)),
        "characters": len(text),
    }


def _frequencies(text: str) -> dict[str, int]:
    terms = (term[:WORD_CHARACTERS] for term in language.telling(text))
    return dict(Counter(terms).most_common(MOST_ROWS))


def _phrases(text: str) -> dict[str, int]:
    counted = Counter(language.phrases(text))
    return {phrase: counted[phrase] for phrase, _ in language.key_phrases(counted, MOST_ROWS)}


def _names(text: str) -> dict[str, int]:
    names = Counter(found.text for found in language.entities(text) if found.kind == "name")
    return dict(names.most_common(MOST_ROWS))


def _numbers(text: str) -> dict[str, float]:
    found = [float(number) for number in _NUMBER.findall(text)]
    if not found:
        raise Failure("There are no numbers to compute with.")
    extremes = {"least": min(found), "most": max(found)}
    return {"count": len(found), "sum": sum(found), "mean": fmean(found), **extremes}


COMPUTATIONS: Mapping[str, Callable[[str], Mapping[str, float]]] = {
    "words": _words,
    "frequencies": _frequencies,
    "numbers": _numbers,
    "phrases": _phrases,
    "names": _names,
}

TRANSFORMATIONS: Mapping[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "plain-text": plain_text,
    "sort-lines": lambda text: "\n".join(sorted(text.splitlines())),
    "summary": lambda text: " ".join(language.summary(text, SUMMARY_SENTENCES)),
    "unique-lines": lambda text: "\n".join(dict.fromkeys(text.splitlines())),
}

KINDS: Mapping[str, Callable[[Job], Result]] = {
    "fetch": fetch,
    "compute": compute,
    "transform": transform,
    "store": store,
    "write": write,
}

_SAFE = re.compile(r"[^A-Za-z0-9_-]")
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,15})?(?!\w|\.\d)")
_UNSEEN = ("script", "style", "template", "title")
