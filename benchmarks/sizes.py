"""What a browser loads of Headway, compressed: as the files are served, and as a bundler would make them.

There is no build step: what is served has its comments and its long names, and is compressed where a proxy does that.
Bundles are made by the packages of tests/js; without those only the files are measured.
"""

import gzip
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Bench
from benchmarks.table import Row, say
from tests.processes import ROOT

STATIC = ROOT / "headway/static"
PACKAGES = ROOT / "tests/js/node_modules"
TERSER = [str(PACKAGES / ".bin/terser"), "--module", "--ecma", "2022", "-m", "-c", "passes=3"]
KB = 1024


@dataclass(frozen=True)
class Part:
    """Modules that a page loads together, what they export, and what else it loads with them."""

    name: str
    modules: Sequence[str]
    exports: str
    limit: int  # KB, compressed
    beside: Sequence[str] = ()
    unused: Sequence[str] = ()  # served with them; a bundle that does not need it leaves it out


PARTS = (
    Part(
        "client",
        ("headway.js", "client.js", "fold.js", "streams.js", "connection.js", "sse.js"),
        "watch, createClient, reduce, initialState, isEnded, parseSSE",
        limit=5,
        unused=("words.js",),
    ),
    Part("hook", ("hook.js",), "makeUseTask", limit=1),
    Part(
        "element + css",
        ("element.js", "nodes.js"),
        "HeadwayProgress",
        limit=10,
        beside=("headway.css",),
    ),
)
PEER = (
    PACKAGES / "@microsoft/fetch-event-source/lib/esm"
)  # a parser and a connection that comes back


def missing() -> str | None:
    """Why there are no bundles here."""
    return (
        None if Path(TERSER[0]).exists() else "no tests/js/node_modules (npm --prefix tests/js ci)"
    )


def rows(bench: Bench) -> Iterator[Row]:
    for path in sorted((*STATIC.glob("*.js"), *STATIC.glob("*.css"))):
        plain = path.read_bytes()
        yield Row(f"{path.name}, bytes gzipped", [_gzipped(plain)], "as it is", [len(plain)])
    peer = (
        [] if missing() else [_bundled([PEER / "parse.js", PEER / "fetch.js"], "fetchEventSource")]
    )
    for part in PARTS:
        limit = part.limit * KB
        served = (*part.modules, *part.beside, *part.unused)
        say(f"{part.name}: {' + '.join(served)}")
        size = sum(_gzipped((STATIC / name).read_bytes()) for name in served)
        yield Row(f"{part.name}, bytes as served, gzipped", [size], limit=limit)
        if missing():
            continue
        size = _bundled([STATIC / name for name in part.modules], part.exports)
        size += sum(_gzipped((STATIC / name).read_bytes()) for name in part.beside)
        without = f" without {', '.join(part.unused)}" if part.unused else ""
        theirs = peer if part.name == "client" else []
        yield Row(
            f"{part.name}, bytes minified{without}, gzipped",
            [size],
            "fetch-event-source",
            theirs,
            limit=limit,
        )


def _gzipped(data: bytes) -> int:
    return len(gzip.compress(data, 9, mtime=0))


def _bundled(modules: Sequence[Path], exports: str) -> int:
    """These as one module, minified and compressed; what they import of others stays out."""
    text = "\n".join(path.read_text() for path in modules)
    text = re.sub(r"^(import .*|export \{.*|export \* .*);$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
    text += f"\nexport {{ {exports} }};"
    made = subprocess.run(TERSER, input=text.encode(), capture_output=True, check=True)
    return _gzipped(made.stdout)
