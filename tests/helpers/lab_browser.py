"""JupyterLab in a headless Chromium, driven by selenium as a reader would drive it."""

import json
import os
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ENTER, CONTROL, LEFT, RIGHT = "\ue007", "\ue009", "\ue012", "\ue014"  # WebDriver's key codes
FLAGS = (
    *("headless", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync", "disable-dev-shm-usage"),
    "window-size=1500,1300",
    # No network, wherever the test runs: widgets must come from the installed packages.
    "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
NO_NEWS = "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
NO_NETWORK = "net::ERR_NAME_NOT_RESOLVED"
PANEL = "const panel = jupyterapp.shell.currentWidget;"
STATUS = """
    const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
    return context?.isReady ? context.session?.kernel?.status : null"""
RUN = """
    window.ordlib = null;
    jupyterapp.commands.execute('notebook:run-all-cells').then(
        success => window.ordlib = success ? 'all ran' : 'not all ran',
        error => window.ordlib = String(error))"""
ERRORS = """
    return panel.content.widgets.filter(cell => cell.model.type == 'code')
        .flatMap(cell => cell.model.outputs.toJSON())
        .filter(output => output.output_type == 'error')
        .map(output => output.ename + ': ' + output.evalue)"""
CELLS = """
    return panel.content.widgets.filter(cell => cell.model.type == 'code')
        .map(cell => [cell.model.sharedModel.source.match(arguments[0]), cell.node])
        .filter(([call, _]) => call)
        .map(([call, node]) => [call[1], node.querySelector('.jp-Cell-outputArea')])"""
EVALUATE = """
    panel.sessionContext.session.kernel
        .requestExecute({code: '', user_expressions: {value: arguments[0]}}).done
        .then(reply => arguments[1](reply.content.user_expressions.value.data['text/plain']))"""
TOP = """
    arguments[0].scrollIntoView({block: 'center'});
    return arguments[0].getBoundingClientRect().top"""
CONTENT = """
    const [image, done] = arguments, reader = new FileReader();
    reader.onload = () => done(reader.result);
    fetch(image.src).then(reply => reply.blob()).then(blob => reader.readAsDataURL(blob))
        .catch(() => done(null));  // replaced while it was read"""


def missing() -> str:
    """Return what a test in a browser needs and this machine lacks; empty if nothing."""
    needs = {
        "selenium": find_spec("selenium"),
        "Chromium": any(map(which, BROWSERS)),
        "chromedriver": which("chromedriver"),
    }
    return ", ".join(name for name, found in needs.items() if not found)


@contextmanager
def chromium(profile: Path) -> Iterator["Chrome"]:
    """Start a browser with an empty profile."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(which, BROWSERS)))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Chromium's sandbox does not work as root.
    root = ["no-sandbox"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
    for flag in (*FLAGS, *root, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def jupyterlab(folder: Path, home: Path) -> Iterator[dict]:
    """Serve the notebooks of a folder, without the user's settings; yield url and token."""
    settings = home / "config" / "lab" / "user-settings" / NO_NEWS
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false"}')  # nor ask whether to
    names = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data",
             "JUPYTER_RUNTIME_DIR": "runtime", "ORDLIB_RESULTS": "results"}  # fmt: skip
    environment = os.environ | {name: str(home / path) for name, path in names.items()}
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}"),
        "--LabApp.expose_app_in_browser=True",
    ]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
    info = home / "runtime" / f"jpserver-{server.pid}.json"
    try:
        wait(lambda: info.is_file() or server.poll() is not None, 120, "JupyterLab starts")
        assert server.poll() is None, (home / "log").read_text()
        yield json.loads(info.read_text())
    finally:
        server.terminate()  # and with it the kernels
        server.wait(120)


def wait(condition: Callable[[], object], seconds: float, what: str) -> object:
    """Return the first true value of a condition."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.2)
    return value


class LabNotebook:
    """A notebook opened in JupyterLab, with a kernel."""

    def __init__(self, driver: "Chrome", server: dict, name: str):
        self.driver = driver
        driver.get_log("browser")  # of the notebook before
        driver.get(f"{server['url']}lab/tree/{name}?reset&token={server['token']}")
        self.wait_until_idle(120)

    def wait_until_idle(self, seconds: float = 60) -> None:
        """Wait until the kernel has done what it was sent."""
        wait(lambda: self.driver.execute_script(STATUS) == "idle", seconds, "the kernel is idle")

    def run_all_cells(self, seconds: float) -> list[str]:
        """Run > Run All Cells; return the errors that the cells show."""
        self.driver.execute_script(RUN)
        ended = wait(
            lambda: self.driver.execute_script("return window.ordlib"), seconds, "all cells ran"
        )
        self.wait_until_idle()
        return self.driver.execute_script(PANEL + ERRORS) + [ended] * (ended != "all ran")

    def outputs(self, pattern: str) -> list[tuple[str, "WebElement"]]:
        """Return the group of a pattern and the output area, of cells whose code matches."""
        return self.driver.execute_script(PANEL + CELLS, pattern)

    def evaluate(self, expression: str) -> object:
        """Return the value of a Python expression in the kernel, such as a list of strings."""
        return literal_eval(self.driver.execute_async_script(PANEL + EVALUATE, expression))

    def image(self, output: "WebElement") -> str | None:
        """Return the content of an interactive figure, None while it is being replaced."""
        images = output.find_elements("css selector", "img")
        return self.driver.execute_async_script(CONTENT, images[0]) if images else None

    def console_errors(self) -> list[str]:
        """Return the errors in the console since the notebook was opened.

        Left out is what the missing network causes: the badges of Colab are on its server.
        """
        entries = self.driver.get_log("browser")
        errors = [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
        return [message for message in errors if NO_NETWORK not in message]

    def shut_down(self) -> None:
        """Stop the kernel."""
        self.driver.execute_script(f"{PANEL} return panel.sessionContext.shutdown()")


def controls(output: "WebElement") -> list["WebElement"]:
    """Return the visible controls of a cell's output, in reading order."""
    selector = "input, select, textarea, button, [role=slider]"
    return [c for c in output.find_elements("css selector", selector) if c.is_displayed()]


def scroll_to(control: "WebElement") -> None:
    """Scroll to a control, until it stands still: cells grow when they come into view."""
    tops = [None]

    def is_still() -> bool:
        tops.append(control.parent.execute_script(TOP, control))
        return tops[-1] == tops[-2]

    wait(is_still, 60, "the page stands still")


def move(control: "WebElement") -> str:
    """Move a control with mouse or keyboard; return what was done."""
    scroll_to(control)
    kind = control.get_attribute("role") or control.get_attribute("type")
    if kind == "slider":
        at_end = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
        control.send_keys(LEFT if at_end else RIGHT)
        return f"slider, a step {'down' if at_end else 'up'}"
    if kind == "select-one":
        option = control.find_elements("css selector", "option:not(:checked)")[0]
        option.click()
        return f"menu: {option.text}"
    if kind == "text":
        control.send_keys(CONTROL + "a")
        control.send_keys("the number of stars" + ENTER)
        return "text typed"
    if kind in ("radio", "submit", "button"):
        control.click()
        return f"{kind} {control.text}".strip()
    raise ValueError(f"unknown control {kind!r}")
