"""Headless Chromium for tests, driven through chromedriver by the standard library alone.

The W3C WebDriver protocol is JSON over HTTP; its clicks and keys are real input events, unlike those of a script.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
KEYS = dict(left='\ue012', up='\ue013', right='\ue014', down='\ue015', escape='\ue00c', enter='\ue007', space=' ')
ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'


def missing_browser() -> str | None:
    """Why the browser tests cannot run here, or None."""
    if not any(map(shutil.which, BROWSERS)):
        return f'no Chromium found (looked for {", ".join(BROWSERS)})'
    return None if shutil.which('chromedriver') else 'no chromedriver found (package chromium-driver)'


class Browser:
    """One window; use it as a context manager.

    Args:
        size: (width, height) of the window in pixels.
        dark: Answer the page's question for the system's colour scheme with "dark".
    """

    def __init__(self, size: tuple[int, int] = (1400, 900), dark: bool = False) -> None:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self._process = subprocess.Popen([shutil.which('chromedriver'), f'--port={port}'], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        self._session = f'http://127.0.0.1:{port}'
        options = ['--headless=new', '--no-first-run', '--disable-gpu', '--disable-dev-shm-usage', '--mute-audio',
                   f'--window-size={size[0]},{size[1]}', '--force-device-scale-factor=1']
        if getattr(os, 'geteuid', lambda: 1)() == 0:
            options.append('--no-sandbox')      # Chromium refuses its sandbox to root
        if dark:
            options += ['--force-dark-mode', '--blink-settings=preferredColorScheme=0']
        binary = next(filter(None, map(shutil.which, BROWSERS)))
        capabilities = {'goog:chromeOptions': dict(args=options, binary=binary),
                        'goog:loggingPrefs': dict(browser='ALL', performance='ALL')}
        try:
            self._await(lambda: self._call('GET', '/status')['ready'])
            session = self._call('POST', '/session', dict(capabilities=dict(alwaysMatch=capabilities)))
        except BaseException:
            self._stop()
            raise
        self._session += f'/session/{session["sessionId"]}'

    def __enter__(self) -> 'Browser':
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._call('DELETE', '')
        finally:
            self._stop()

    def open(self, path: Path, fragment: str = '') -> None:
        """Open a file, from disk."""
        self._call('POST', '/url', dict(url='about:blank'))
        self._call('POST', '/url', dict(url=path.resolve().as_uri() + fragment))

    def run(self, script: str, *arguments: Any) -> Any:
        """Value of ``return ...`` in the page."""
        return self._call('POST', '/execute/sync', dict(script=script, args=list(arguments)))

    def click(self, selector: str) -> None:
        """Click the middle of the first element that fits."""
        self._call('POST', f'/element/{self._find(selector)}/click', {})

    def type(self, selector: str, text: str) -> None:
        """Type into an element."""
        self._call('POST', f'/element/{self._find(selector)}/value', dict(text=text))

    def press(self, key: str) -> None:
        """Press and release a key, named as in ``KEYS`` or a character, wherever the focus is."""
        value = KEYS.get(key, key)
        actions = [dict(type='keyDown', value=value), dict(type='keyUp', value=value)]
        self._call('POST', '/actions', dict(actions=[dict(type='key', id='keys', actions=actions)]))

    def texts(self, selector: str) -> list[str]:
        """Text of every element that fits."""
        return self.run('return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)', selector)

    def wait(self, script: str, *arguments: Any) -> Any:
        """Repeat :meth:`run` until the value is true."""
        return self._await(lambda: self.run(script, *arguments))

    def log(self, kind: str = 'browser') -> list[dict]:
        """New entries of the console (``'browser'``) or of the developer tools' events (``'performance'``)."""
        return self._call('POST', '/se/log', dict(type=kind))

    def screenshot(self, path: Path) -> None:
        """Write a PNG of what the window shows."""
        path.write_bytes(base64.b64decode(self._call('GET', '/screenshot')))

    def _find(self, selector: str) -> str:
        return self._call('POST', '/element', dict(using='css selector', value=selector))[ELEMENT]

    def _call(self, method: str, path: str, body: dict | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._session + path, data, {'Content-Type': 'application/json'},
                                         method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return json.load(answer)['value']
        except urllib.error.HTTPError as error:
            raise RuntimeError(f'{method} {path}: {json.load(error)["value"]["message"]}') from None

    def _await(self, condition: Any, seconds: float = 30) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                value = condition()
            except (urllib.error.URLError, ConnectionError):
                value = None
            if value:
                return value
            if time.monotonic() > end:
                raise TimeoutError('the page or chromedriver did not get ready.')
            time.sleep(0.05)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
