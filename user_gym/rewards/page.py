"""A page with two buttons, and the requests behind them: verdicts on episodes. It knows whom to tell, and nothing of rewards.

GET /           the page
GET /status     {"episode": 31}, the newest one; -1: none yet
POST /success   {"episode": 31, "success": true}; /success?episode=12 an earlier one
POST /failure   likewise

It listens to this machine. A request whose Host is another name than where it listens, or whose Origin is another site, is
refused: else any page that is open in the same browser could press the buttons.
"""

from __future__ import annotations

import json
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from user_gym.errors import BadOption
from user_gym.web import PATIENCE, Handler, Site, ThreadedServer

_LONGEST = 1024  # bytes of a request's body; nothing is read of it, but it is taken from the line
_PASSED_OVER = 16 * 2**20  # bytes of a longer one that are taken too, so that its sender hears why it is refused
_AT_ONCE = 2**16  # bytes
_VERDICTS = {"/success": True, "/failure": False}
_PAGE = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>user-gym: verdict</title>
<style>body{font:20px sans-serif;text-align:center;margin-top:3em}button{font-size:2em;margin:.5em;padding:.5em 1.5em}</style>
<p>Episode <b id="episode">?</b></p>
<button onclick="tell('success')">Success</button><button onclick="tell('failure')">Failure</button>
<p><label>of episode <input id="of" size="6" placeholder="as shown"></label></p><p id="said" role="status"></p>
<script>
const at = id => document.getElementById(id)
const gone = 'no answer: the run is over'
async function tell(verdict) {
  const of = at('of').value.trim() || at('episode').textContent  // as it is seen: a newer one may have begun since
  try {
    const answer = await fetch('/' + verdict + (of === '?' ? '' : '?episode=' + encodeURIComponent(of)), {method: 'POST'})
    at('said').textContent = answer.ok ? verdict + ' of episode ' + (await answer.json()).episode : await answer.text()
  } catch { at('said').textContent = gone }
}
setInterval(async () => {
  try {
    const newest = (await (await fetch('/status')).json()).episode
    at('episode').textContent = newest < 0 ? '?' : newest
    if (at('said').textContent === gone) at('said').textContent = ''
  } catch { at('said').textContent = gone }
}, 500)
</script></html>
"""


class Listener(Protocol):
    """Who is told of verdicts: a `Human`. Thread-safe."""

    @property
    def episode(self) -> int:
        """Number of the newest episode; -1 before the first."""
        ...

    def tell(self, success: bool, episode: int | None = None) -> int:
        """As `Human.tell`. Raises BadOption."""
        ...


class _Handler(Handler):
    timeout = PATIENCE  # of each wait for the client

    def do_GET(self) -> None:
        """The page, or what it shows."""
        path = urlsplit(self.path).path
        if not self._is_meant():
            return
        if path == "/":
            self._answer("text/html; charset=utf-8", _PAGE)
        elif path == "/status":
            self._answer("application/json", json.dumps({"episode": self._listener.episode}))
        else:
            self.send_error(404, "only /, /status, /success and /failure are here")

    def do_POST(self) -> None:
        """A verdict."""
        parts = urlsplit(self.path)
        if not self._is_meant() or not self._drained():
            return
        if parts.path not in _VERDICTS:
            self.send_error(404, "only /success and /failure take verdicts")
            return
        asked = parse_qs(parts.query, keep_blank_values=True)
        number = asked.get("episode", [None])[0]
        if asked.keys() - {"episode"} or (
            number is not None and not (number.isascii() and number.isdigit() and len(number) < 19)
        ):
            self.send_error(400, "allowed: nothing, or ?episode=N with a whole number, 0 or more")
            return
        try:
            told = self._listener.tell(_VERDICTS[parts.path], None if number is None else int(number))
        except BadOption as error:
            self.send_error(404, str(error))
            return
        self._answer("application/json", json.dumps({"episode": told, "success": _VERDICTS[parts.path]}))

    @property
    def _listener(self) -> Listener:
        assert isinstance(self.server, ThreadedServer)
        return self.server.site.listener

    def _is_meant(self) -> bool:
        """Whether the request was meant for this server, and not sent by another site's page."""
        assert isinstance(self.server, ThreadedServer)
        host, port = self.server.server_address[:2]
        known = {f"{name}:{port}" for name in (host, "localhost", "127.0.0.1")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in known and (origin is None or origin in {f"http://{name}" for name in known}):
            return True
        self.send_error(403, "this page answers only requests for its own address, from itself")
        return False

    def _drained(self) -> bool:
        """Take the body from the line, which says nothing here: who finds bytes unread on closing resets the connection."""
        told = self.headers.get("Content-Length", "0")
        known = told.isascii() and told.isdigit() and len(told) < 19
        length = int(told) if known else 0
        left = min(length, _PASSED_OVER)
        while left and (read := len(self.rfile.read(min(left, _AT_ONCE)))):
            left -= read
        if not known or length > _LONGEST:
            self.send_error(413, "a verdict has no body")
            return False
        return True

    def _answer(self, kind: str, text: str) -> None:
        # Nobody lays an invisible page over another one's button.
        self.answer(kind, text.encode(), {"X-Frame-Options": "DENY"})


class VerdictPage(Site):
    """Serves the page in threads of its own, from `open` to `close`.

    Args:
        listener: is told.
        port: 0: a free one; see `url`.

    Raises:
        BadOption: no such port.
    """

    name, handler, server = "verdict", _Handler, ThreadedServer

    def __init__(self, listener: Listener, port: int = 0) -> None:
        super().__init__(port)
        self.listener = listener

    def __enter__(self) -> VerdictPage:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
