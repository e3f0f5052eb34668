"""Progress inside Flower. Only Flower's own process imports this, from its flowerconfig.py:

    import headway.flower
    headway.flower.install()

What workers tell (`headway.monitors`) is kept with each task that Flower knows, and pushed to the pages that show it.
Flower's own idea of a task is never touched: state, filters, search and its database are what they are without.
"""

import logging
from importlib.metadata import version

logger = logging.getLogger(__name__)

SUPPORTED = "2.2"  # every 2.2.x: what is patched may be anything in another


def install() -> None:
    """Have this Flower show progress. One of another version starts as it is, with a warning."""
    found = version("flower")
    if not f"{found}.".startswith(f"{SUPPORTED}."):
        logger.warning(
            "Flower %s shows no progress: Headway knows Flower %s only. Install that: "
            "pip install 'flower==%s.*'",
            found,
            SUPPORTED,
            SUPPORTED,
        )
        return
    # Only now: in another version there may be nothing of what this imports.
    from headway.flower_pages import patch

    patch()
