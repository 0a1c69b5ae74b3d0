"""What `user-gym run` does while a run goes on: it starts the supervisor, again if that dies, and hands on Ctrl-C. No more."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from user_gym.errors import BadBlock, Busy, PeerLost
from user_gym.system.processes.caller import SocketCaller
from user_gym.system.processes.child import spawn
from user_gym.system.processes.ends import Ends
from user_gym.system.processes.exits import DONE, GAVE_UP, REFUSED, STOPPED
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.journal import say
from user_gym.system.processes.plan import LEARNER, OWNER, PARENT, SUPERVISOR, Plan
from user_gym.system.processes.registry import Identity, Name, holder
from user_gym.system.processes.silence import MUTE, Silence
from user_gym.system.processes.supervisor import LOOK, MOST_FAILURES

_TURN = 0.1  # s between two looks
_ASK = 5.0  # s between two questions whether the supervisor still looks after the others


class Parent:
    """One run, from `run` to its end.

    Args:
        folder: of the run.
        plan: what it is.
        each: called at each look, such as to show how it goes.
    """

    def __init__(self, folder: RunFolder, plan: Plan, each: Callable[[], None]) -> None:
        self._folder, self._plan, self._each = folder, plan, each
        self._stop = Event()
        self._process: subprocess.Popen[bytes] | None = None  # the supervisor, where it was started here
        self._ends, self._asked = Ends(), 0.0
        self._silence = Silence()

    def run(self) -> int:
        """An exit code of `exits`. Raises WrongRun, Busy, NoSpace, Unwritable."""
        with parenting(self._folder, self._plan), heard(self._stop):
            return self._watch()

    def _watch(self) -> int:
        told = False
        while True:
            code = self._ended()  # first: whoever has the name after that is another one
            there = holder(self._folder.processes, SUPERVISOR)
            if there is None and self._process is None:
                finished = self._folder.finished() is not None
                if finished or code in (DONE, STOPPED, REFUSED, GAVE_UP) or self._stop.is_set():
                    return DONE if finished else STOPPED if code is None or code < 0 else code
                if self._ends.failures >= MOST_FAILURES:
                    return GAVE_UP
                if self._ends.due:
                    self._start()
                    told = False
            elif self._stop.is_set() and not told:
                told = there is not None and there.send(signal.SIGTERM)
            if there is not None:
                self._ask(there)
            self._each()
            # Not Event.wait: from the moment on that it is set, this would spin.
            time.sleep(_TURN) if self._stop.is_set() else self._stop.wait(_TURN)

    def _start(self) -> None:
        self._process, self._silence = spawn(self._folder, SUPERVISOR, SUPERVISOR), Silence()
        self._ends.began()

    def _ended(self) -> int | None:
        """The exit code of the supervisor, once after it has ended."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            self._process = None
            self._ends.add(code)
        return code

    def _ask(self, there: Identity) -> None:
        """Whether the supervisor looks after the others; one that does not, as it hangs or was suspended, is killed."""
        silent = self._silence.look()
        if time.monotonic() - self._asked < _ASK:
            return
        self._asked = time.monotonic()
        caller = SocketCaller(self._folder.socket(SUPERVISOR), timeout=1.0)
        with contextlib.suppress(PeerLost, BadBlock), contextlib.closing(caller):
            if caller.call({"ask": LOOK})["still"] < MUTE:
                self._silence.broken()
                return
        if silent > MUTE:
            say(f"the supervisor, process {there.pid}, has not answered for {silent:.0f} s; it is killed and started again")
            there.send(signal.SIGKILL)
            self._silence = Silence()


@contextmanager
def parenting(folder: RunFolder, plan: Plan) -> Iterator[None]:
    """Have the name of the parent while it lasts, in a folder with this plan. Raises WrongRun, Busy, NoSpace, Unwritable."""
    folder.make(plan)
    name, path = Name(folder.processes, PARENT), folder.path
    try:
        name.hold()
    except Busy as error:
        raise Busy(f"{error}; user-gym run --status {path} shows it, user-gym run --stop {path} stops it") from error
    try:
        there = folder.compare(plan)
        if there is not None and there != plan:
            _require_idle(folder, there)
        folder.begin(plan)
        yield
    finally:
        name.release()


def _require_idle(folder: RunFolder, there: Plan) -> None:
    """Raises Busy while processes work by a plan that is to be replaced."""
    for name in (SUPERVISOR, OWNER, LEARNER, *(collector.name for collector in there.collectors)):
        if (one := holder(folder.processes, name)) is not None:
            stop = f"user-gym run --stop {folder.path} first" if name == SUPERVISOR else "it ends within seconds: try again"
            raise Busy(f"the run in {folder.path} goes on by another plan, under process {one.pid} ({name}); {stop}")


@contextmanager
def heard(stop: Event) -> Iterator[None]:
    """While it lasts, the signals that end a program set `stop`; what is ignored stays ignored: nohup."""
    endings = [number for number in _ENDINGS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in endings}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def tell_to_stop(folder: RunFolder) -> Identity | None:
    """Stop a run from elsewhere, in order; who was told, None where nobody is left."""
    for name in (PARENT, SUPERVISOR):
        there = holder(folder.processes, name)
        if there is not None and there.send(signal.SIGTERM):
            return there
    return None
