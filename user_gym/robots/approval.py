"""Which policies an operator has let drive which real arm. A file of the user's; nobody is asked at the keyboard.

The first time a policy drives an arm, a person should stand beside it. `approve` is what they say: by `user-gym approve`, by
`approve=True` in `gymnasium.make`, or by $USER_GYM_APPROVE=1 where no person is (a test rig behind a fence).
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from user_gym.errors import BadOption, NotApproved

VARIABLE = "USER_GYM_APPROVE"
ANY = "any"  # a program that does not name its policy


def path() -> Path:
    """user_gym/approvals.json in the user's config folder."""
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "user_gym" / "approvals.json"


def approved(device: str, policy: str = ANY) -> bool:
    """Whether this policy may drive the arm at this physical address. Raises BadOption where the file is broken."""
    if os.environ.get(VARIABLE) == "1":
        return True
    allowed = _read().get(device, [])
    return policy in allowed


def approve(device: str, policy: str = ANY) -> None:
    """Remember that an operator stood beside the arm. Raises BadOption where the file is broken or cannot be written."""
    place = path()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # held for a moment: several arms may be approved at once, and none is forgotten
            known = _read()
            if policy in known.get(device, []):
                return
            known.setdefault(device, []).append(policy)
            new = place.with_suffix(".new")
            new.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
            new.replace(place)  # a reader sees the old file or the new one
    except OSError as error:
        raise BadOption("approvals", str(place), "a file that can be written", str(error)) from error


def require(device: str, policy: str = ANY) -> None:
    """Raise NotApproved unless an operator approved."""
    if not approved(device, policy):
        raise NotApproved(
            f"policy {policy!r} has not driven {device!r} before; stand at its emergency stop, then: "
            f"user-gym approve {device!r} {policy}, or approve=True, or {VARIABLE}=1"
        )


def _read() -> dict[str, list[str]]:
    place = path()
    try:
        found = json.loads(place.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadOption("approvals", str(place), "a JSON file", f"mend or remove it: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(v, list) for v in found.values()):
        raise BadOption("approvals", str(place), "an object of lists", "mend or remove it")
    return found
