"""Get torch's threads along with the other programs on a small machine."""

import os


def share_cores() -> None:
    """Let a thread that waits for its fellows fall asleep soon; call this before torch is loaded.

    A matrix product is shared out among the cores, many times for one token, and whoever is done
    first waits. GNU's OpenMP, which torch uses on Linux, waits by spinning for some milliseconds,
    which is quick as long as nothing else wants the core. With a browser or a second notebook on
    the same cores, the spinning keeps the fellow from running. With 2,000 turns instead of 300,000,
    SmolLM2 in two notebooks at once on two cores wrote 17.5 instead of 12 tokens a second in each;
    alone, 48 instead of 51. Programs started from this one inherit the setting; one made by the
    user stays.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
