"""What a worker's process runs: it takes its first job from the pipe, then serves until its last owner leaves."""

from __future__ import annotations

import logging
import signal
import sys
from multiprocessing.connection import Connection

from user_gym.errors import RobotFault, UserGymError
from user_gym.real.job import Job, Reply, described
from user_gym.real.worker import Worker


def main(descriptor: int) -> None:
    """What the process runs: takes its job from the pipe, then serves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    with Connection(descriptor) as link:
        try:
            job: Job = link.recv()
            worker = Worker(job, link)
            worker.open()
        except EOFError:
            return
        except Exception as error:  # top of a process
            known = error if isinstance(error, UserGymError) else RobotFault(f"worker: {type(error).__name__}: {error}")
            link.send(Reply(0, error=described(known)))
            if known is error:
                return  # the parent raises it
            raise
        link.send(Reply(0))
        worker.run()
