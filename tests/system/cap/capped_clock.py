"""A clock that goes on only when somebody sleeps, and calls what is due meanwhile."""


class SleepingClock:
    def __init__(self):
        self.now = 100.0
        self.due = []  # (time, what to do)

    def __call__(self):
        return self.now

    def at(self, time, what):
        self.due.append((time, what))

    def sleep(self, seconds):
        assert 0 < seconds <= 0.005, seconds
        self.now += seconds
        for entry in [entry for entry in self.due if entry[0] <= self.now]:
            self.due.remove(entry)
            entry[1]()
