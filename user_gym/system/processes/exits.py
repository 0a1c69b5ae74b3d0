"""How a process of a run says by its exit code what is to become of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from user_gym.errors import BadOption, MissingExtra, NoSpace, UnknownName, WrongRun
from user_gym.system.processes.journal import say
from user_gym.system.processes.link import Report

DONE = 0  # its work is done: it is not started again
FAILED = 1  # it is started again
REFUSED = 2  # the plan cannot be done: the run stops
STOPPED = 3  # it was told to stop
ORPHANED = 4  # it stopped because nobody was left
FULL = 5  # the disk has no room: it is started again, however often
GAVE_UP = 6  # the supervisor: starting a process again did not help
TAKEN = 75  # another process has its name; EX_TEMPFAIL of sysexits.h

_OF_THE_PLAN = (BadOption, UnknownName, MissingExtra, WrongRun)  # before a process has begun, starting it again cannot help


def code_of(work: Callable[[], bool], report: Report) -> int:
    """Do the work of a process, the top of which this is; the exit code that says what came of it, as the report does in words.

    Args:
        work: whether nothing is left to do.
        report: of the process.
    """
    try:
        done = work()
    except NoSpace as error:
        say(str(error))
        report.set(state=f"disk full: {error}")
        return FULL
    except MemoryError as error:  # what was being made is too large; its supervisor starts it again
        say(traceback.format_exc())
        report.set(state=f"out of memory: {error or 'the machine, or the limit of this process, has no more'}")
        return FAILED
    except Exception as error:  # top of this process: its supervisor starts it again
        if isinstance(error, _OF_THE_PLAN) and not report.begun:
            say(f"error: {error}")
            report.set(state=f"error: {error}", error=str(error))
            return REFUSED
        say(traceback.format_exc())
        report.set(state=f"failed: {type(error).__name__}: {error}")
        return FAILED
    report.set(state="done" if done else "stopped")
    return DONE if done else STOPPED
