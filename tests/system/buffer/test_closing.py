"""Whatever is going on when a buffer or a loader is closed: who is inside ends, and who comes gets Closed."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from pictures import episode

from user_gym.errors import BadOption, Closed, Gone
from user_gym.system import Buffer
from user_gym.system.buffer.gate import Gate
from user_gym.system.buffer.keeping import Keeping
from user_gym.system.buffer.loader import Loader
from user_gym.system.buffer.sampling import Wants

TIMEOUT = 60.0


def open_filled(path, **options):
    buffer = Buffer.open(path, durability="kill", **options) if path != ":memory:" else Buffer.open(path, **options)
    for number in range(8):
        buffer.append(episode(12, number, first=100 * number, noisy=number % 2 == 0)[0])
    return buffer


def until_closed(work, ended, started):
    """Repeat `work` until it raises; note what it raised."""

    def run():
        try:
            while True:
                work()
                started.release()
        except BaseException as error:
            ended.append(error)

    return threading.Thread(target=run, daemon=True)


@pytest.mark.parametrize("where", ["disk", ":memory:"])
def test_closing_a_buffer_ends_those_inside_with_closed(tmp_path, where):
    for attempt in range(3):
        buffer = open_filled(tmp_path / f"buffer{attempt}" if where == "disk" else where, cache_bytes=1 << 16)
        rng, view = [np.random.default_rng(i) for i in range(4)], buffer.view("reward > 3")
        loader = buffer.loader(32, seed=1)
        number = iter(range(1000, 100_000))

        def add(buffer=buffer, number=number):
            episode_number = next(number)
            buffer.append(episode(3, episode_number, first=100 * episode_number)[0])

        ended, started = [], threading.Semaphore(0)
        works = [
            lambda b=buffer, r=rng[0]: b.sample(32, r),
            lambda b=buffer, r=rng[1]: b.sample(32, r, horizon=3),
            lambda v=view, r=rng[2]: v.sample(16, r),
            lambda one=loader: next(one),
            lambda b=buffer: b.chunk(0),
            add,
        ]
        threads = [until_closed(work, ended, started) for work in works]
        for thread in threads:
            thread.start()
        for _ in range(12):
            assert started.acquire(timeout=TIMEOUT)
        buffer.close()
        for thread in threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()
        assert {type(error) for error in ended} == {Closed}, ended
        loader.close()


def test_closing_a_loader_wakes_who_waits_for_a_batch():
    inside = threading.Event()
    release = threading.Event()

    class Slow:
        def draw(self, n, rng):
            return np.zeros(n, np.int64)

        def wants(self, numbers, horizon):
            return Wants(np.empty(0, np.int64), np.empty(0, np.int64))

        def read(self, numbers, horizon=1, out=None, due=None):
            inside.set()
            assert release.wait(TIMEOUT)
            raise Closed("the source is closed")

        def empty(self, n, horizon=1, allocate=np.empty):
            return None

    loader, ended = Loader(Slow(), 4), []
    waiting = until_closed(lambda: next(loader), ended, threading.Semaphore(0))
    waiting.start()
    assert inside.wait(TIMEOUT)
    closing = threading.Thread(target=loader.close)
    closing.start()
    release.set()
    for thread in (waiting, closing):
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert [type(error) for error in ended] == [Closed]


def test_a_loader_that_idles_ends_at_once_and_says_so_afterwards(tmp_path):
    with open_filled(tmp_path / "buffer") as buffer:
        loader = buffer.loader(8)
        next(loader)
        loader.close()
        loader.close()
        with pytest.raises(Closed):
            next(loader)
        with buffer.loader(8) as never_used:
            pass
        with pytest.raises(Closed):
            next(never_used)


def test_an_error_in_the_thread_of_a_loader_is_raised_where_a_batch_is_asked_for():
    with Buffer.open(":memory:") as buffer, buffer.loader(4) as loader:
        with pytest.raises(BadOption, match="nothing yet"):
            next(loader)
        with pytest.raises(Closed):
            next(loader)


def test_an_error_of_the_thread_that_loads_light_columns_is_raised_where_a_batch_is_asked_for(tmp_path, monkeypatch):
    open_filled(tmp_path / "buffer").close()

    def broken(self, first, head, entry):
        raise OSError("the disk is on fire")

    monkeypatch.setattr(Keeping, "_keep", broken)
    with Buffer.open(tmp_path / "buffer") as buffer:
        loading = buffer._keeping.thread
        if loading is not None:
            loading.join(TIMEOUT)
        with pytest.raises(OSError, match="on fire"):
            buffer.sample(4, np.random.default_rng(0))
        monkeypatch.undo()
        assert len(buffer.sample(4, np.random.default_rng(0)).reward) == 4


def test_an_idle_gate_closes_once_and_lets_nobody_in():
    gate = Gate("the shop")
    with gate, gate:
        pass
    assert gate.close()
    assert not gate.close()
    with pytest.raises(Closed, match="the shop"):
        gate.__enter__()


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(0)", "import os; os.kill(os.getpid(), 15)"])
@pytest.mark.parametrize("path", ["buffer", ":memory:"])
def test_a_process_ends_though_nobody_closed_its_buffer(tmp_path, path, end):
    program = (
        "import numpy as np, sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from pictures import episode\n"
        "from user_gym.system import Buffer\n"
        f"buffer = Buffer.open({path if path == ':memory:' else str(tmp_path / path)!r})\n"
        "for number in range(4): buffer.append(episode(40, number, first=100 * number)[0])\n"
        "loader = buffer.loader(64)\n"
        "view = buffer.view('steps > 0')\n"
        "[next(loader) for _ in range(3)]\n"
        "view.sample(64, np.random.default_rng(0))\n"
        f"{end}\n"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == (-15 if "kill" in end else 0), done.stderr
    assert done.stderr == ""
    if "kill" not in end:
        assert list(temporary.iterdir()) == []
    if path != ":memory:":
        with Buffer.open(tmp_path / path) as again:
            assert len(again) == 160


def test_a_buffer_in_memory_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    buffer = open_filled(":memory:")
    assert list(tmp_path.iterdir())
    buffer.sample(64, np.random.default_rng(0))
    buffer.close()
    with pytest.raises(BadOption):
        Buffer.open(":memory:", segment_bytes=0)
    assert list(tmp_path.iterdir()) == []
    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_draw_that_was_pruned_meanwhile_says_gone(tmp_path):
    with open_filled(tmp_path / "buffer") as buffer:
        buffer._store.prune(firsts=[0])
        with pytest.raises(Gone):
            buffer.read(np.array([3, 50]))
