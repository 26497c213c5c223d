"""Texts on their way to the browser, and in messages."""


def well_formed(text: str) -> str:
    """Half a surrogate pair cannot travel as utf-8; it becomes the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shortened(text: str, longest: int = 60) -> str:
    """The beginning of a text, for messages."""
    return text if len(text) <= longest else f"{text[:longest]}…"
