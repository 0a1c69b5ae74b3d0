"""A CAN bus that this process serves to others: a Unix socket of raw frames, or the socketcand protocol over TCP."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
from collections.abc import Iterator

from user_gym.errors import BadOption
from user_gym.robots.wire.buses import BusName
from user_gym.robots.wire.can_frame import Frame
from user_gym.sim.can.bus import MOST_AT_ONCE, CanBus
from user_gym.sim.can.member import LineMember, Member, PacketMember

_log = logging.getLogger(__name__)


class ServedBus(CanBus):
    """A listening socket and its members.

    Args:
        name: of kind "seqpacket" or "socketcand"; port 0 takes any free one.
    """

    def __init__(self, name: BusName) -> None:
        self._name = name
        self._listener: socket.socket | None = None
        self._members: dict[int, Member] = {}

    def open(self) -> None:
        """Raises as `CanBus.open`."""
        self._listener = _listen(self._name)
        if self._name.kind == "socketcand":
            self._name = self._name._replace(port=self._listener.getsockname()[1])
        self._listener.setblocking(False)
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ready = select.epoll()
        self._ready.register(self._listener, select.EPOLLIN)

    def wait(self, timeout: float | None) -> None:
        """Until there is something to do."""
        # A thread that takes a new member in while this one waits changes what `_ready` waits for, and its own poll() would
        # round to milliseconds.
        ready, _, _ = select.select([self._ready, self._waker], [], [], timeout)
        if self._waker in ready:
            os.eventfd_read(self._waker)

    def frames(self) -> Iterator[Frame]:
        """What has come."""
        left = MOST_AT_ONCE
        while left > 0 and (ready := self._ready.poll(0)):
            for number, _ in ready:
                member = self._members.get(number)
                if member is None:
                    self._accept()
                    continue
                try:
                    for frame in member.frames(self._reject):
                        if len(self._members) > 1:
                            self._spread(frame, member)
                        yield frame
                        left -= 1
                        if left == 0:
                            return
                except OSError as error:
                    _log.debug("a member left %s: %s", self._name, error)
                    self._remove(member)

    def send(self, frame: Frame) -> None:
        """To all members."""
        self._spread(frame, None)

    def _spread(self, frame: Frame, source: Member | None) -> None:
        for member in self._members.values():
            if member is source:
                continue
            try:
                data = member.encode(frame)
                if data:
                    member.link.send(data)
            except BlockingIOError:
                self.dropped += 1
            except OSError as error:  # `frames` removes it, once all that it has sent is read
                _log.debug("a member is leaving %s: %s", self._name, error)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            link, _ = self._listener.accept()
        except OSError as error:
            _log.debug("a member left %s before it was in: %s", self._name, error)
            return
        try:
            member = PacketMember(link) if self._name.kind == "seqpacket" else LineMember(link, self._name.channel)
        except OSError as error:
            _log.debug("a member left %s before it was greeted: %s", self._name, error)
            link.close()
            return
        self._members[link.fileno()] = member
        self._ready.register(link, select.EPOLLIN)

    def _remove(self, member: Member) -> None:
        number = member.link.fileno()
        if self._members.pop(number, None) is not None:
            self._ready.unregister(number)
            member.link.close()

    @property
    def address(self) -> str:
        """As `buses.connect` takes it."""
        return str(self._name)

    def wake(self) -> None:
        """End a `wait`."""
        os.eventfd_write(self._waker, 1)

    def unplug(self) -> None:
        """Send all members away."""
        for member in tuple(self._members.values()):
            self._remove(member)

    def close(self) -> None:
        """Leave no socket behind."""
        if self._listener is None:
            return
        self.unplug()
        self._listener.close()
        self._listener = None
        self._ready.close()
        os.close(self._waker)
        if self._name.kind == "seqpacket" and os.path.exists(self._name.place):
            os.unlink(self._name.place)


def _listen(name: BusName) -> socket.socket:
    """Raises BadOption where the place is taken or is none."""
    packets = name.kind == "seqpacket"
    kind = (socket.AF_UNIX, socket.SOCK_SEQPACKET) if packets else (socket.AF_INET, socket.SOCK_STREAM)
    listener = socket.socket(*kind)
    try:
        if packets:
            _remove_stale(name.place)
            listener.bind(name.place)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((name.place, name.port))
        listener.listen()
    except OSError as error:
        listener.close()
        allowed = "a path in a folder that exists" if packets else "an address and a port of this machine"
        raise BadOption("CAN bus", str(name), f"{allowed}, that nobody serves", str(error)) from error
    return listener


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens at, as a killed twin leaves one. Raises OSError where somebody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "another twin serves it")
