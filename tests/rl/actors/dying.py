"""A rank that dies. Its process imports nothing of the engine, so it starts in a second."""

import os
import signal
import time


class Dying:
    """When the second one dies in an update, the first one fails sooner, as in a collective, and the third one waits
    for the first, which lives."""

    def __init__(self, spec):
        self.rank = spec.rank

    def update(self, dies):
        if self.rank == 0:
            raise RuntimeError("connection closed by peer")
        if dies:
            time.sleep(1 if self.rank == 1 else 3600)
            os.kill(os.getpid(), signal.SIGKILL)
