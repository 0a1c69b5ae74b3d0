"""Processes that a test of this folder has begun are ended with it."""

import signal

import pytest
from remote_parts import Process


@pytest.fixture
def started(tmp_path):
    running = []

    def start(*arguments):
        running.append(Process(tmp_path, *arguments))
        return running[-1]

    yield start
    for process in running:
        process.end(signal.SIGKILL)
