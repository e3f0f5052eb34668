"""Print what spin finds: `python -m tests.model`, `--trail "no audit"` for a counterexample, `--everything` for more.

`--everything` needs a minute and a gigabyte.
"""

import argparse
import shutil
import sys

from tests.model.spin import ALIVE, AS_IT_IS, BROKEN, EVERYTHING, check

ROW = "{:32} {:52} {:>9}  {}"
GROUPS = (
    ("As it is: every order of", AS_IT_IS, "holds"),
    ("With one rule broken:", BROKEN, "is refuted"),
    ("That it happens at all:", ALIVE, "happens"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--trail", metavar="NAME", help="the counterexample, as spin prints it")
    parser.add_argument("--everything", action="store_true", help="all faults in one search")
    asked = parser.parse_args()
    spin, compiler = shutil.which("spin"), shutil.which("gcc")
    if not spin or not compiler:
        parser.exit(2, "This needs spin and gcc; on Debian: apt install spin gcc\n")
    if asked.trail:
        named = {variant.name: variant for variant in (*BROKEN, *ALIVE)}
        if asked.trail not in named:
            parser.error(f"there is no {asked.trail!r}; there are: {', '.join(named)}")
        print(check(named[asked.trail], spin, compiler).trail, end="")
        return 0
    print(ROW.format("", "what may happen, and what is broken", "states", "result"))
    wrong = 0
    for title, variants, expected in GROUPS:
        print(title)
        more = (EVERYTHING,) if asked.everything and variants is AS_IT_IS else ()
        for variant in (*variants, *more):
            result = check(variant, spin, compiler)
            moves = f"in {result.moves} moves" if result.moves else ""
            fits = (result.moves is None) == (variants is AS_IT_IS)
            said = f"{expected} {moves}" if fits else f"WRONG {moves}"
            print(ROW.format(variant.name, variant.rules, result.states, said), flush=True)
            wrong += not fits
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
