"""The twin in SAPIEN, the engine under ManiSkill: PhysX in place of MuJoCo, built from the same records.

SAPIEN is used directly. ManiSkill's environment classes bring their own robots, tasks, observations and rewards, and want a
Vulkan device even where nothing is drawn; a scene of SAPIEN with a physics system alone wants none.

It is the extra "maniskill". Nothing outside this package imports sapien.
"""

from __future__ import annotations

import warnings

from user_gym.errors import MissingSystem

try:
    with warnings.catch_warnings():  # it says that it has to bring its own Vulkan, which physics alone never opens
        warnings.filterwarnings("ignore", message="Failed to find system libvulkan")
        import sapien  # noqa: F401  # pyright: ignore[reportMissingImports]
except ModuleNotFoundError:
    raise
except ImportError as error:  # a library that it links to; libX11 even where nothing is drawn
    raise MissingSystem(f"sapien does not load: {error}; Debian has what it needs in libx11-6") from error
