"""A real JupyterLab in a real browser: the server, the browser, and a page to work in."""

import contextlib
import copy
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nbformat

REPOSITORY = Path(__file__).resolve().parents[2]
ARTEFACTS = REPOSITORY / "artefacts"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "microsoft-edge",
)
HOW_TO_GET_ONE = (
    "no Chromium found; get one with `python -m playwright install chromium`, "
    "`sudo apt install chromium`, `brew install --cask chromium` or "
    "`winget install Google.Chrome`"
)
# Protection against hanging only: nothing that passes waits this long.
HANG_S = 90
RUN_ALL_HANG_S = 1500

_LAB_OPTIONS = (
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.news_url=",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
    "--LanguageServerManager.autodetect=False",
)
_CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class LabServer:
    """JupyterLab on a free loopback port, with all its folders under ``home``."""

    def __init__(self, home: Path):
        self.root = home / "notebooks"
        self.token = uuid.uuid4().hex
        folders = {
            name: home / name for name in ("config", "data", "runtime", "settings", "workspaces")
        }
        for folder in (self.root, home / "ipython", *folders.values()):
            folder.mkdir(parents=True)
        _write_kernelspec(folders["data"])
        _write_settings(folders["settings"])
        self._runtime = folders["runtime"]
        self.log = home / "server.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
        environment |= {
            "JUPYTER_CONFIG_DIR": str(folders["config"]),
            "JUPYTER_DATA_DIR": str(folders["data"]),
            "JUPYTER_RUNTIME_DIR": str(folders["runtime"]),
            "JUPYTERLAB_SETTINGS_DIR": str(folders["settings"]),
            "JUPYTERLAB_WORKSPACES_DIR": str(folders["workspaces"]),
            "JUPYTER_PREFER_ENV_PATH": "0",  # so that our kernelspec comes before the installed one
            "IPYTHONDIR": str(home / "ipython"),
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])
            ),
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
        command += [f"--ServerApp.root_dir={self.root}", f"--IdentityProvider.token={self.token}"]
        with self.log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [*command, *_LAB_OPTIONS], env=environment, cwd=home, stdout=log, stderr=log
            )
        try:
            self.url = self._wait_for_url()
        except BaseException:
            self.close()
            raise

    def _wait_for_url(self) -> str:
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline and self._process.poll() is None:
            for file in self._runtime.glob("jpserver-*.json"):
                with contextlib.suppress(json.JSONDecodeError, OSError):
                    url = f"http://127.0.0.1:{json.loads(file.read_text('utf-8'))['port']}"
                    self._ask(url, "api/status")
                    return url
            time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text('utf-8')[-4000:]}")

    def _ask(self, url: str, path: str, method: str = "GET") -> None:
        request = urllib.request.Request(
            f"{url}/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=60):
            pass

    def close(self) -> None:
        """Stop the server and its kernels."""
        if hasattr(self, "url"):
            with contextlib.suppress(OSError):
                self._ask(self.url, "api/shutdown", method="POST")
        else:
            self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _write_kernelspec(data: Path) -> None:
    """The kernel is the Python that runs the tests, whatever else is installed."""
    folder = data / "kernels" / "python3"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _write_settings(settings: Path) -> None:
    """Every cell is in the page, also those out of sight, and no question lies over it."""
    for name, values in {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values), encoding="utf-8")


@contextlib.contextmanager
def lab_server(home: Path) -> Iterator[LabServer]:
    """A running JupyterLab, stopped at the end."""
    server = LabServer(home)
    try:
        yield server
    finally:
        server.close()


def find_chromium(playwright) -> str | None:
    """The path of a Chromium: one on PATH, else playwright's own."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextlib.contextmanager
def open_chromium() -> Iterator:
    """A headless Chromium, or None where there is none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            yield None
            return
        browser = playwright.chromium.launch(executable_path=path, args=[*_CHROMIUM_OPTIONS])
        try:
            yield browser
        finally:
            browser.close()


def notebook_of(*sources: str) -> nbformat.NotebookNode:
    """A new notebook of code cells."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in sources])


class LabPage:
    """One browser tab with JupyterLab in it.

    ``left_machine`` lists requests (they are aborted) and sockets that tried to leave loopback,
    ``console_errors`` what the page complained of, ``dialogs`` the alerts it opened and
    ``kernel_messages`` what the page sent to kernels.
    """

    def __init__(self, browser, server: LabServer, *, width: int = 1200, height: int = 1000):
        self.server = server
        self.left_machine: list[str] = []
        self.console_errors: list[str] = []
        self.dialogs: list[str] = []
        self.kernel_messages: list[str] = []
        self._context = browser.new_context(viewport={"width": width, "height": height})
        self._context.set_default_timeout(HANG_S * 1000)
        self._context.route(re.compile(r"^https?://"), self._keep_on_loopback)
        self.page = self._context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        self.page.on("dialog", self._on_dialog)
        self.page.on("websocket", self._on_websocket)

    def _keep_on_loopback(self, route) -> None:
        if urlsplit(route.request.url).hostname in LOOPBACK:
            route.continue_()
        else:
            self.left_machine.append(route.request.url)
            route.abort()

    def _on_console(self, message) -> None:
        if message.type == "error":
            self.console_errors.append(message.text)

    def _on_dialog(self, dialog) -> None:
        if dialog.type == "beforeunload":  # JupyterLab asks whether to leave without saving
            dialog.accept()
        else:
            self.dialogs.append(dialog.message)
            dialog.dismiss()

    def _on_websocket(self, socket) -> None:
        if urlsplit(socket.url).hostname not in LOOPBACK:
            self.left_machine.append(socket.url)
        if "/channels" in socket.url:
            socket.on("framesent", lambda frame: self.kernel_messages.append(str(frame)[:2000]))

    def close(self) -> None:
        """Leave the page; a page that reached out of the machine fails here."""
        self._context.close()
        assert not self.left_machine, f"requests left this machine: {self.left_machine}"

    def open(
        self,
        notebook: Path | nbformat.NotebookNode,
        *,
        kernel: bool = True,
        keep_outputs: bool = False,
    ) -> None:
        """Open a copy of a notebook (a saved notebook changes) and wait for its kernel.

        With a kernel, saved outputs go: what stands under a cell afterwards, this kernel made.
        """
        name = f"{uuid.uuid4().hex[:8]}.ipynb"
        if isinstance(notebook, Path):
            notebook = nbformat.read(notebook, as_version=4)
        notebook = copy.deepcopy(notebook)
        if kernel and not keep_outputs:
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
        # A notebook that names no kernel makes JupyterLab ask for one.
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, self.server.root / name)
        self.go_to(name, kernel=kernel)

    def go_to(self, name: str, *, kernel: bool = True) -> None:
        """Load a notebook that is in the server's folder already, in a fresh page."""
        workspace = uuid.uuid4().hex[:8]
        query = f"token={self.server.token}"
        self.page.goto(f"{self.server.url}/lab/workspaces/{workspace}/tree/{name}?{query}")
        self.name = name
        ready = "document.querySelector('.jp-Notebook') && p.content.model"
        if kernel:
            # The status bar says idle while there is no kernel yet.
            ready += " && p.sessionContext.session?.kernel?.status === 'idle'"
        self.wait(
            f"() => {{ const p = window.jupyterapp?.shell.currentWidget; return p && {ready} }}"
        )

    def wait(self, script: str, argument=None, *, hang_s: float = HANG_S) -> None:
        """Wait until a JavaScript function returns something true."""
        self.page.wait_for_function(script, arg=argument, timeout=hang_s * 1000)

    def command(self, name: str, **arguments) -> None:
        """Run a JupyterLab command to its end."""
        self.page.evaluate(
            "([name, arguments]) => jupyterapp.commands.execute(name, arguments).then(() => null)",
            [name, arguments],
        )

    def run_all(self) -> None:
        """Run all cells and wait until every one has finished."""
        self.page.evaluate(
            """() => {
                window.llmlabRan = false;
                jupyterapp.commands.execute('notebook:run-all-cells')
                    .then(() => { window.llmlabRan = true; });
            }"""
        )
        self.wait("() => window.llmlabRan", hang_s=RUN_ALL_HANG_S)
        self.wait(
            "() => ![...document.querySelectorAll('.jp-InputPrompt')]"
            ".some((prompt) => prompt.textContent.includes('*'))"
        )

    def run_code(self, source: str) -> None:
        """Run a line of Python in the notebook's kernel, outside the notebook."""
        self.page.evaluate(
            """(code) => jupyterapp.shell.currentWidget.sessionContext.session.kernel
                .requestExecute({ code, stop_on_error: false }).done.then((reply) => {
                    if (reply.content.status !== 'ok') throw new Error(reply.content.evalue);
                })""",
            source,
        )

    def evaluate(self, expression: str) -> str:
        """The text/plain of a Python expression in the notebook's kernel."""
        return self.page.evaluate(
            """(code) => jupyterapp.shell.currentWidget.sessionContext.session.kernel
                .requestExecute({ code: '', user_expressions: { value: code } }).done
                .then(({ content }) => {
                    const { value } = content.user_expressions;
                    if (value.status !== 'ok') throw new Error(value.evalue);
                    return value.data['text/plain'];
                })""",
            expression,
        )

    def wait_for_kernel(self, expression: str) -> None:
        """Wait until a Python expression is true in the kernel; messages may overtake another."""
        deadline = time.monotonic() + HANG_S
        while self.evaluate(f"bool({expression})") != "True":
            if time.monotonic() > deadline:
                raise TimeoutError(f"the kernel still does not say {expression}")

    def cells(self) -> list[dict]:
        """The notebook's cells as they stand in the page."""
        return self.page.evaluate(
            "() => jupyterapp.shell.currentWidget.content.model.toJSON().cells"
        )

    def execution_counts(self) -> list[int | None]:
        """The number in brackets beside every code cell; None where it has not run."""
        return [cell["execution_count"] for cell in self.cells() if cell["cell_type"] == "code"]

    def errors(self) -> list[str]:
        """The error outputs of all cells."""
        return [
            f"{output['ename']}: {output['evalue']}"
            for cell in self.cells()
            for output in cell.get("outputs", [])
            if output["output_type"] == "error"
        ]

    def theme(self, name: str) -> None:
        """Change to "JupyterLab Light" or "JupyterLab Dark" and wait until it is on."""
        self.command("apputils:change-theme", theme=name)
        self.wait(
            "(name) => document.body.dataset.jpThemeName === name"
            " && !document.getElementById('jupyterlab-splash')",
            name,
        )

    def screenshot(self, name: str, locator=None) -> Path:
        """A picture of the page, or of one element, in ``artefacts/``."""
        ARTEFACTS.mkdir(exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        (locator or self.page).screenshot(path=path)
        return path

    def shutdown_kernel(self) -> None:
        """End the notebook's kernel, as after an evening of many notebooks."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
