"""Reads a document: text, chunks, key phrases and entities, and how far all that can be trusted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headway import plan, stage, staged
from headway.errors import Failure
from workers import language, reading
from workers.celery import app
from workers.places import Place, needed_once
from workers.reading import Page

CHUNK_CHARACTERS = 1_000  # what a search index or a model is usually fed with
MOST_PHRASES = 12
MOST_ENTITIES = 20
EXCERPT_CHARACTERS = 400
OCR_TRUST = 0.85  # of text that was read from a picture
LIMIT_SECONDS = 30 * 60  # no honest document of 20 MB takes that long

EXTRACT = stage("extract", label="Extract text", unit="page")
OCR = stage("ocr", label="Read pictures", unit="page")
CHUNK = stage("chunk", label="Cut into chunks", unit="page")
ENRICH = stage("enrich", label="Find phrases and names", unit="chunk")
SCORE = stage("score", label="Judge the result", unit="chunk")

STAGES = (EXTRACT, OCR, CHUNK, ENRICH, SCORE)
WEIGHTS = {"pdf": (20, 0, 1, 2, 1), "image": (1, 20, 1, 1, 1), "text": (1, 0, 3, 6, 4)}
SCANNED = 200  # weight of OCR when the first page of a PDF is a picture: the others mostly are, too


@dataclass(frozen=True)
class Chunk:
    page: int
    text: str


@app.task(name="workers.documents", time_limit=LIMIT_SECONDS)
@staged()
def documents(upload: str, folder: str, address: str, kind: str) -> dict[str, Any]:
    """`kind` is pdf, image or text. A Failure says what is wrong with the document."""
    place = Place.at(folder, address)
    weighed = zip(STAGES, WEIGHTS[kind], strict=True)
    plan(*(replace(each, weight=weight) for each, weight in weighed))
    with needed_once(upload) as source:
        pages = extract(source, kind)
        read_pictures(pages)
    if not any(page.text for page in pages):
        raise Failure(_why_empty(pages))
    chunks = chunk(pages)
    phrases, entities = enrich(chunks)
    confidence, because = score(pages, chunks)
    chunks_url = place.keep("chunks.json", [{"page": c.page, "text": c.text} for c in chunks])
    return {
        "kind": kind,
        "pages": len(pages),
        "words": sum(len(language.words(c.text)) for c in chunks),
        "chunks": {"count": len(chunks), "url": chunks_url},
        "phrases": phrases,
        "entities": entities,
        "confidence": confidence,
        "because": because,
        "excerpt": " ".join(chunks[0].text.split())[:EXCERPT_CHARACTERS],
    }


def extract(source: Path, kind: str) -> list[Page]:
    pages: list[Page] = []
    characters = 0
    with EXTRACT as running:
        for page in running.track(reading.opened(source, kind)):
            if kind == "pdf" and not pages and not page.text:
                plan(replace(OCR, weight=SCANNED))
            pages.append(page)
            characters += len(page.text)
            running.report(f"{characters:,} characters")
    return pages


def read_pictures(pages: Sequence[Page]) -> None:
    """Read what pages without text show. Without OCR on this machine the stage says so and is skipped."""
    blank = [page for page in pages if page.pictures and not page.text]
    if not blank:
        OCR.skip("there is nothing to read but text")
    elif not reading.ocr_program():
        without = "1 page has" if len(blank) == 1 else f"{len(blank)} pages have"
        OCR.skip(f"{without} no text, and {reading.OCR} is not installed")
    else:
        with OCR as running, TemporaryDirectory(prefix="headway-ocr-") as folder:
            for page in running.track(blank):
                page.text = reading.read_pictures(page, Path(folder))
                page.by_ocr = bool(page.text)


def chunk(pages: Iterable[Page]) -> list[Chunk]:
    """Whole sentences as far as they go; a chunk never spans pages, so that it can be cited."""
    chunks: list[Chunk] = []
    with CHUNK as running:
        for page in running.track(pages):
            chunks += [Chunk(page.number, text) for text in cut(page.text)]
            running.report(f"{len(chunks):,} chunks")
    return chunks


def cut(text: str) -> list[str]:
    """Pieces of at most CHUNK_CHARACTERS: sentences put together, and those that are longer cut up."""
    pieces: list[str] = []
    for sentence in language.sentences(text):
        for start in range(0, len(sentence), CHUNK_CHARACTERS):
            part = sentence[start : start + CHUNK_CHARACTERS]
            if pieces and len(pieces[-1]) + len(part) < CHUNK_CHARACTERS:
                pieces[-1] += f" {part}"
            else:
                pieces.append(part)
    return pieces


def enrich(chunks: Iterable[Chunk]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    phrases: Counter[str] = Counter()
    entities: Counter[language.Entity] = Counter()
    with ENRICH as running:
        for each in running.track(chunks):
            phrases.update(language.phrases(each.text))
            entities.update(language.entities(each.text))
            running.report(
                f"{len(phrases):,} phrases, {len(entities):,} names, dates and addresses"
            )
        best = language.key_phrases(phrases, MOST_PHRASES)
        running.report(data={"phrases": [phrase for phrase, _ in best[:5]]})
    return (
        [{"text": phrase, "score": rank, "count": phrases[phrase]} for phrase, rank in best],
        [
            {"kind": entity.kind, "text": entity.text, "count": count}
            for entity, count in entities.most_common(MOST_ENTITIES)
        ],
    )


def score(pages: Sequence[Page], chunks: Iterable[Chunk]) -> tuple[float, list[str]]:
    """How far the text can be trusted, 0 to 1, and why no more than that."""
    clean, visible, real, words = 0, 0, 0, 0
    with SCORE as running:
        for each in running.track(chunks):
            clean, visible = _added((clean, visible), language.legible(each.text))
            real, words = _added((real, words), language.wordlike(each.text))
        with_text = sum(bool(page.text) for page in pages)
        by_ocr = sum(page.by_ocr for page in pages)
        parts = {
            "coverage": with_text / len(pages),
            "legibility": clean / visible if visible else 0.0,
            "language": real / words if words else 1.0,  # a table of numbers is no nonsense
            "source": 1 - (1 - OCR_TRUST) * by_ocr / with_text,
        }
        confidence = round(_product(parts.values()), 3)
        running.report(
            f"{confidence:.0%} sure", data={name: round(part, 3) for name, part in parts.items()}
        )
    because = [
        (with_text < len(pages), f"{len(pages) - with_text} of {len(pages)} pages have no text"),
        (any(page.damaged for page in pages), "some pages are damaged"),
        (parts["legibility"] < 0.98, "some characters could not be read"),
        (parts["language"] < 0.95, "some words look like none"),
        (by_ocr > 0, "text was read from pictures"),
    ]
    return confidence, [reason for applies, reason in because if applies]


def _added(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


def _product(parts: Iterable[float]) -> float:
    whole = 1.0
    for part in parts:
        whole *= part
    return whole


def _why_empty(pages: Sequence[Page]) -> str:
    if any(page.damaged for page in pages):
        return "The PDF is damaged: none of its pages can be read."
    if reading.ocr_program() or not any(page.pictures for page in pages):
        return "There is no text in this document."
    return (
        "There is no text in this document, pictures at best. To have them read, install"
        f" {reading.OCR} where the workers run."
    )
