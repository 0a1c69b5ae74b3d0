"""Segments that are no files: for a buffer that lives as long as its process. It knows no index."""

from __future__ import annotations

import os
from pathlib import Path

from user_gym.errors import Gone
from user_gym.system.buffer.files import HERE, Files, name
from user_gym.system.buffer.segment import SEGMENT_HEAD, Segment


class MemoryFiles(Files):
    """As `Files`, in anonymous memory of the kernel: nothing reaches a disk, and nothing is left behind."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._kept: dict[int, int] = {}  # descriptor of each segment

    def create(self, segment: int, place: int = HERE) -> Segment:
        """As `Files.create`."""
        descriptor = os.memfd_create(name(segment), os.MFD_CLOEXEC)
        made = Segment(self.path(segment), descriptor, 0)
        made.append(SEGMENT_HEAD)
        self._kept[segment] = os.dup(descriptor)
        self.put({segment: place})
        return made

    def remove(self, segment: int) -> None:
        """As `Files.remove`."""
        descriptor = self._kept.pop(segment)
        super().remove(segment)
        os.close(descriptor)

    def sync(self, opened: Segment) -> None:
        """Nothing to wait for."""

    def sync_folder(self, place: int = HERE) -> None:
        """Nothing to wait for."""

    def sync_index(self, path: Path) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """As `Files.close`, and the memory is free."""
        super().close()
        for descriptor in self._kept.values():
            os.close(descriptor)
        self._kept.clear()

    def open(self, segment: int) -> Segment:
        """As `Files.open`."""
        kept = self._kept.get(segment)
        if kept is None:
            raise Gone(f"segment {segment} is not there; it was removed")
        descriptor = os.dup(kept)
        return Segment(self.path(segment), descriptor, os.fstat(descriptor).st_size)
