"""What holds for every test, those in notebooks included."""

import os

import nbval.kernel
import pytest
import zmq
from jupyter_client import KernelManager

from llmlab.threads import share_cores

share_cores()  # tests, kernels and a browser run beside each other; kernels inherit this
if "PYTEST_XDIST_WORKER" in os.environ:  # the other cores have a worker each, of their own
    os.environ.setdefault("OMP_NUM_THREADS", "1")


class _PatientManager(KernelManager):
    """Loses no message of a cell, however many wait until it ends; usually about 2,000 may."""

    def client(self, **settings):
        context = zmq.Context()
        context.setsockopt(zmq.RCVHWM, 0)
        return super().client(context=context, **settings)


nbval.kernel.KernelManager = _PatientManager


def pytest_collectstart(collector):
    """Leave progress bars, which go to stderr and are not stored, out of the comparison."""
    if collector.path.suffix == ".ipynb" and hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session, exitstatus):
    """End a good run that had browser tests in it with a line that says whether they ran."""
    result = yield  # pytest prints its own summary in here
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or exitstatus != pytest.ExitCode.OK:
        return result
    outcomes = {
        outcome
        for outcome in ("passed", "skipped")
        for report in reporter.stats.get(outcome, [])
        if "browser" in report.keywords
    }
    if "passed" in outcomes:
        reporter.write_line("everything passed")
    elif "skipped" in outcomes:
        reporter.write_line("passed; the browser tests were skipped, for want of a Chromium")
    return result
