"""Objects named by strings: "module:attribute", and the entry points of other packages. Knows no robot and no task."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from user_gym.errors import BadOption, MissingExtra

# Which extra brings a module that user_gym itself does not require.
EXTRAS = {
    "matplotlib": "train",
    "PIL": "train",
    "can": "arx",
    "cv2": "camera",
    "pyrealsense2": "camera",
    "rich": "train",
    "sapien": "maniskill",
    "stable_baselines3": "sb3",
    "tensorboard": "train",
    "torch": "train",
    "tyro": "train",
}


def load_object(path: str) -> Any:
    """The object that "module:attribute" names; its module is imported now.

    Raises:
        BadOption: the path has no colon, or the module no such attribute.
        MissingExtra: the module needs a package of an extra that is not installed. Other import errors pass unchanged.
    """
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise BadOption("object path", path, "'module:attribute'")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in EXTRAS:
            raise MissingExtra(missing, EXTRAS[missing]) from error
        raise
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise BadOption("object path", path, f"an attribute of {module!r}", str(error)) from error
    return found


def names(group: str) -> tuple[str, ...]:
    """The entry points that installed packages offer in this group. Imports none of them."""
    return tuple(sorted({point.name for point in metadata.entry_points(group=group)}))


def find(group: str, name: str) -> Any | None:
    """Load the entry point of this name, or None if no installed package offers it. Raises as `load_object` does.

    Raises:
        BadOption: two packages offer the same name; which one is meant must not depend on the order of sys.path.
    """
    values = sorted({point.value for point in metadata.entry_points(group=group, name=name)})
    if len(values) > 1:
        raise BadOption(f"entry point {name!r} of {group!r}", values, "one object", "uninstall all but one package")
    return load_object(values[0].partition("[")[0].strip()) if values else None
