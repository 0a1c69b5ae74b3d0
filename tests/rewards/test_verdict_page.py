"""The page of verdicts, through real sockets on a loopback address."""

import http.client
import json
import shutil
import socket
import subprocess
import threading

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.errors import BadOption, Busy
from user_gym.rewards import FirstVerdict, Human, VerdictPage, rule
from user_gym.wrappers import RewardFrom


class Ear:
    """Writes down what it is told."""

    episode = 4

    def __init__(self):
        self.told = []

    def tell(self, success, episode=None):
        if episode is not None and episode > self.episode:
            raise BadOption("episode", episode, "0 .. 4")
        self.told.append((success, episode))
        return self.episode if episode is None else episode


@pytest.fixture
def served():
    ear = Ear()
    with VerdictPage(ear) as page:
        yield ear, page


def ask(page, method, path, body=None, **headers):
    host, port = page.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    read = answer.status, answer.read().decode()
    connection.close()
    return read


def test_buttons_tell_and_the_answer_names_the_episode(served) -> None:
    ear, page = served
    status, text = ask(page, "POST", "/success")
    assert (status, json.loads(text)) == (200, {"episode": 4, "success": True})
    assert json.loads(ask(page, "POST", "/failure?episode=2")[1]) == {"episode": 2, "success": False}
    assert ear.told == [(True, None), (False, 2)]
    assert json.loads(ask(page, "GET", "/status")[1]) == {"episode": 4}
    status, text = ask(page, "GET", "/")
    assert status == 200
    assert text.count("<button") == 2


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, which runs the page's script")
def test_a_button_judges_the_episode_that_is_shown_and_tells_when_nobody_answers(served) -> None:
    _, page = served
    script = ask(page, "GET", "/")[1].partition("<script>")[2].partition("</script>")[0]
    around = """
        const parts = {of: {value: ''}, episode: {textContent: '?'}, said: {textContent: ''}}, asked = []
        let look, ask = url => { asked.push(url); return {ok: true, json: async () => ({episode: 12})} }
        globalThis.document = {getElementById: id => parts[id]}
        globalThis.setInterval = f => { look = f }
        globalThis.fetch = async url => ask(url)
        SCRIPT
        const main = async () => {
          await tell('success'); await look(); await tell('failure')
          parts.of.value = ' 7 '; await tell('success')
          ask = () => { throw new TypeError('Failed to fetch') }
          await tell('success'); const one = parts.said.textContent
          parts.said.textContent = ''; await look()
          console.log(JSON.stringify([asked, one, parts.said.textContent]))
        }
        main()
    """.replace("SCRIPT", script)
    done = subprocess.run(["node", "-e", around], capture_output=True, text=True, timeout=60, check=True)
    gone = "no answer: the run is over"
    asked = ["/success", "/status", "/failure?episode=12", "/success?episode=7"]
    assert json.loads(done.stdout) == [asked, gone, gone]


def test_a_page_of_another_site_cannot_press_them(served) -> None:
    ear, page = served
    assert ask(page, "POST", "/success", Origin="http://example.org")[0] == 403
    assert ask(page, "POST", "/success", Origin="null")[0] == 403
    assert ask(page, "POST", "/success", Host="example.org")[0] == 403  # a name that leads here: DNS rebinding
    assert ask(page, "GET", "/status", Host="example.org")[0] == 403
    assert not ear.told
    assert ask(page, "POST", "/success", Origin=page.url)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 404), ("GET", "/success", 404), ("POST", "/success?episode=9", 404), ("POST", "/success?episode=-1", 400),
        ("POST", "/success?episode=", 400), ("POST", "/success?episode=" + 30 * "9", 400), ("POST", "/success?run=1", 400),
        ("PUT", "/success", 501), ("POST", "/success?episode=" + 5000 * "9", 400),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_and_tells_nobody(served, method, path, status) -> None:
    ear, page = served
    code, text = ask(page, method, path)
    assert code == status
    assert text
    assert not ear.told


def test_a_body_is_passed_over_unless_it_is_large(served) -> None:
    ear, page = served
    assert ask(page, "POST", "/success", body=b"x" * 1000)[0] == 200
    assert ask(page, "POST", "/success", body=b"x" * 2000)[0] == 413
    assert ask(page, "POST", "/success", body=bytes(8_000_000))[0] == 413
    assert ask(page, "POST", "/success", **{"Content-Length": 5000 * "9"})[0] == 413
    assert ear.told == [(True, None)]


def test_a_client_that_says_nothing_keeps_nobody_waiting(served) -> None:
    _, page = served
    host, port = page.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))):
        assert ask(page, "POST", "/success")[0] == 200


def test_a_taken_port_and_a_wrong_one_are_named(served) -> None:
    _, page = served
    port = int(page.url.rpartition(":")[2])
    with pytest.raises(Busy, match=str(port)):
        VerdictPage(Ear(), port).open()
    with pytest.raises(BadOption, match="70000"):
        VerdictPage(Ear(), 70000)


def test_it_closes_twice_and_leaves_no_thread() -> None:
    page = VerdictPage(Ear())
    page.open()
    page.open()
    page.close()
    page.close()
    assert "verdict" not in {thread.name for thread in threading.enumerate()}


def test_a_button_ends_a_running_episode() -> None:
    human = Human()
    env = RewardFrom(gym.make("User/PegInsert-sim-v0"), FirstVerdict([human, rule]))
    with VerdictPage(human) as page:
        env.reset(seed=0)
        ask(page, "POST", "/success")
        _, reward, terminated, _, info = env.step(np.zeros(6, np.float32))
    assert (reward, terminated, info["reward_source"]) == (1.0, True, "human")
    env.close()
