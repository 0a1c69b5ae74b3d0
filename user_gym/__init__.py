"""Train policies on real robot arms with the scripts you already have.

Importing registers the environments with Gymnasium and nothing else: no simulator, vendor client or learning library.
`gym.make("User/PegInsert-sim-v0")` works after `import user_gym`, and as `gym.make("user_gym:User/PegInsert-sim-v0")`
without it.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from user_gym.ids import register

try:
    __version__ = version("user-gym")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

register()
