"""Fixtures: a JupyterLab server, a browser, and pages in it."""

import os

import pytest

from .lab import HOW_TO_GET_ONE, LabPage, lab_server, open_chromium


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with lab_server(tmp_path_factory.mktemp("lab")) as server:
        yield server


# Playwright keeps an event loop running in this thread: end it before other tests need their own.
@pytest.fixture(scope="package")
def chromium():
    with open_chromium() as browser:
        if browser is None:
            if os.environ.get("CI"):
                # A test that does not run must not look like one that passed.
                pytest.fail(HOW_TO_GET_ONE)
            pytest.skip(HOW_TO_GET_ONE)
        yield browser


@pytest.fixture(scope="module")
def lab(chromium, server):
    """One page for a module's tests: a fresh JupyterLab takes seconds to load."""
    page = LabPage(chromium, server)
    yield page
    page.close()
