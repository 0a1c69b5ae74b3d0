"""What an edge carries to prove itself to its hub and to know it: one file for its owner alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from user_gym.errors import BadOption, WrongRun
from user_gym.system.link.identity import names, private_file

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Bundle:
    """All text in PEM but the first two and the token."""

    name: str  # of the edge
    hub: str  # HOST:PORT under which it was enrolled
    authority: str  # the only one whose certificate a hub may show
    certificate: str
    key: str
    token: str
    expires: float  # s since the epoch

    def __repr__(self) -> str:  # no secret in a log
        return f"Bundle(name={self.name!r}, hub={self.hub!r})"

    def save(self, path: Path) -> None:
        """Write it. Raises BadOption where a file is there already, Unwritable."""
        try:
            private_file.write(path, json.dumps({"format": _FORMAT, **asdict(self)}, indent=1).encode() + b"\n")
        except FileExistsError as error:
            raise BadOption("file of a bundle", str(path), "a new one", "remove it, or choose another name") from error
        except FileNotFoundError as error:
            raise BadOption("file of a bundle", str(path), "one in a folder that is there") from error

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Read it. Raises WrongRun where it is none, Unwritable where others can read it."""
        try:
            words = json.loads(private_file.read(path))
            if words.pop("format") != _FORMAT:
                raise ValueError(f"not of format {_FORMAT}")
            made = cls(**words)
            if not all(isinstance(getattr(made, f.name), (str if f.type == "str" else (int, float))) for f in fields(cls)):
                raise ValueError("a field is of another type")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WrongRun(f"{path} is no bundle of an edge: {error}; `user-gym hub enroll` makes one") from error
        except (FileNotFoundError, IsADirectoryError) as error:
            raise WrongRun(f"{path} is not there; `user-gym hub enroll` makes a bundle") from error
        names.checked("name in a bundle", made.name)
        return made
