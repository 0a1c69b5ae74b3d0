"""Without room on the disk or in memory a run says so in words, and goes on when there is some again."""

from __future__ import annotations

import resource
import signal

import pytest

from user_gym.system.processes import RunFolder, child

pytestmark = pytest.mark.slow


def limit(run, room):
    """No file of the buffer's owner grows above so many bytes, as if the disk were full."""
    resource.prlimit(run.pid("owner").pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))


def test_on_a_full_disk_the_command_says_so_and_the_run_goes_on_when_there_is_room(runs):
    run = runs(steps=2000).start()
    run.until(lambda: run.steps() > 100, "100 steps")
    limit(run, 0)
    run.until(lambda: run.facts("owner").get("state", "").startswith("disk full: no room for"), "the owner to say so")
    full = run.steps()
    said = iter(run.parent.stdout.readline, "")
    assert any("owner: disk full: no room for" in line for line in said)
    limit(run, resource.RLIM_INFINITY)
    run.until(lambda: run.steps() > full + 50, "50 more steps")
    assert run.end()[0] == 0, run.logs()
    run.check()


def test_a_run_is_not_finished_before_there_was_room_for_what_it_learned(runs, tmp_path):
    full = tmp_path / "full"
    full.touch()
    run = runs(steps=100, agent={"make": "toy_robots:homeless", "options": {"full": str(full)}}).start()
    run.until(lambda: run.facts("learner").get("last_end", "").startswith("disk full: no room for"), "the learner to end")
    assert run.folder.finished() is None
    full.unlink()
    assert run.end()[0] == 0, run.logs()
    run.check()


def test_without_memory_the_command_says_who_wanted_it(runs):
    run = runs(agent={"make": "toy_robots:greedy"}).start()
    said = iter(run.parent.stdout.readline, "")
    assert any("learner: " in line and "out of memory: 64 GiB" in line for line in said)
    assert "out of memory: 64 GiB" in run.facts("learner")["last_end"]
    run.parent.send_signal(signal.SIGINT)
    assert run.end()[0] == 130
    assert "MemoryError" in run.logs()


def test_a_process_that_the_kernel_killed_for_want_of_memory_is_told_from_one_that_a_person_killed(tmp_path, monkeypatch):
    counted = tmp_path / "vmstat"
    counted.write_text("nr_free_pages 5\noom_kill 3\nthp 0\n")
    monkeypatch.setattr(child, "_KERNEL", counted)
    made = child.Child(RunFolder(tmp_path), "learner", "learner", 600.0)
    made._starved = child.starved()
    assert made._starved == 3
    assert made._reason(-9) == "ended by signal 9"
    counted.write_text("nr_free_pages 5\noom_kill 4\nthp 0\n")
    assert "ran out of memory" in made._reason(-9)
    assert made._reason(1) == "ended with code 1"
