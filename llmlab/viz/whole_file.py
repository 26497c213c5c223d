"""Write a file whole or not at all."""

import uuid
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`; whatever goes wrong, a file that was there before stays as it was.

    Raises ``OSError`` that says what to do for a missing folder, a full disk and the like.
    """
    path = Path(path).resolve()  # behind a link, the file it leads to
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}; make it first, or use another")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; add a file name such as attention.png")
    partial = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror or error}; {len(data):,} bytes could not be written and the file "
            "is as it was before. Make room, or use another folder",
            str(path),
        ) from error
