"""The ideal arm of the real drivers' tests, with a long way to each start."""

from toy import ToyDriver


class SlowToy(ToyDriver):
    def __init__(self, spec, control, address, clock, way=0.0, **options):
        super().__init__(spec, control, address, clock, **options)
        self.way = way

    def move(self, waypoints, speed):
        super().move(waypoints, speed)
        self.clock.tick(self.way)
