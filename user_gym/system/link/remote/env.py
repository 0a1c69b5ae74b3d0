"""An environment that runs at an edge, as a gymnasium.Env: the same spaces, infos and errors, wherever it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.utils import EzPickle

from user_gym.core import RobotState, Scene, real
from user_gym.errors import BadOption, Closed, NotAdmitted, PeerLost, RobotFault
from user_gym.system.link.remote.asks import Ask
from user_gym.system.link.remote.channel import NETWORK, SHARED
from user_gym.system.link.remote.episode import Episode
from user_gym.system.link.remote.face import Face, learnt, mirrored
from user_gym.system.link.remote.outcome import Step, sendable
from user_gym.system.link.remote.way import Way

TIMEOUT, RESET_TIMEOUT = 2.0, 60.0  # s; a real arm's way to its start takes seconds
CHANNELS = ("auto", SHARED, NETWORK)


class RemoteEnv(gymnasium.Env[Any, Any], EzPickle):
    """The first `reset` connects, and gets the robot for this environment alone; `close` gives it back.

    What the robot's side says is raised with its own type, as by a local environment: a fault of the robot, or that it holds
    because this client was silent for too long. Silence is a truncation: no answer in time, or a lost connection. It comes with
    the last observation, reward 0, and `info["fault"]`: "LinkLost: " and why. After either, steps raise it again, and the next
    `reset` goes on.

    Args:
        hub: HOST:PORT, or a `Hub` of this process; None: as the bundle says.
        edge: name of the edge, or "EDGE/ROBOT"; None: any that has a free robot for it.
        env_id: what runs there, or several, of which any will do.
        like: an id of this machine with the same spaces, which are then known before anything is connected, and compared;
            "": the edge says them, and so the constructor connects.
        bundle: file of a client, from `user-gym hub enroll --client`; None: only on loopback.
        client: name of this client, where there is no bundle.
        channel: "auto", "shared memory" (edge and client on one host, of one user) or "network".
        timeout: s that a step may take until it is a truncation; a chunk of k steps k times that.
        reset_timeout: s that a reset may take, and whatever else is asked.
        robot: model of the robot, as in gymnasium.make; for its spaces: which one it is, the edge says.
        render_mode: None or "rgb_array".
        **options: that the edge lets its clients choose, such as `obs` and `control`.

    Attributes:
        channel: "shared memory" or "network"; "" before the first reset.
        robot_name: "EDGE/ROBOT" that this environment has; "": none.

    Raises:
        BadOption, UnknownName: as of the environment itself.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        hub: Any = None,
        edge: str | None = None,
        env_id: str | Sequence[str] = "",
        like: str = "",
        bundle: str | os.PathLike[str] | None = None,
        client: str | None = None,
        channel: str = "auto",
        timeout: float = TIMEOUT,
        reset_timeout: float = RESET_TIMEOUT,
        robot: str | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        EzPickle.__init__(
            self, hub, edge, env_id, like, bundle, client, channel, timeout, reset_timeout, robot, render_mode, **options
        )
        ids = [env_id] if isinstance(env_id, str) else list(env_id)
        if not ids or not all(isinstance(one, str) and one for one in ids):
            raise BadOption("env_id", env_id, "an id that the edge serves, as 'User/PegInsert-real-v0'")
        if channel not in CHANNELS:
            raise BadOption("channel", channel, " | ".join(CHANNELS))
        if render_mode not in (None, "rgb_array"):
            raise BadOption("render_mode", render_mode, "None | rgb_array")
        self._timeout = real("timeout", timeout, 1e-3, 3600.0, "s, 0.001 .. 3600")
        self._reset_timeout = real("reset_timeout", reset_timeout, 1e-3, 3600.0, "s, 0.001 .. 3600")
        self._edge, self.render_mode = edge or "", render_mode
        given = {**options, **({} if render_mode is None else {"render_mode": render_mode})}
        self._way = Way(hub, bundle, client, self._edge, ids, given, channel)
        self._episode = Episode(self._way, self._timeout, self._reset_timeout)
        self._closed = False
        self._face: Face | None = None
        if like:
            self._show(mirrored(like, robot, given))
        else:
            self._connect(monotonic() + self._reset_timeout)

    @property
    def channel(self) -> str:
        """See the class."""
        return "" if self._way.channel is None else self._way.channel.kind

    @property
    def robot_name(self) -> str:
        """See the class."""
        return self._way.robot

    @property
    def late(self) -> int:
        """Answers that came when nobody waited for them any more, and were dropped; of all that share the uplink."""
        return 0 if self._way.uplink is None else self._way.uplink.late

    @property
    def fault(self) -> RobotFault | None:
        """What ended the episode, if a fault did; None: nothing keeps the robot from moving."""
        over = self._episode.over
        return over if isinstance(over, RobotFault) else None

    @property
    def state(self) -> RobotState:
        """The robot's, asked for when it is read, and kept until the next step. Raises NotReset, BadOption, LinkLost."""
        self._open()
        return self._episode.record(Ask.STATE, RobotState)

    @property
    def scene(self) -> Scene:
        """As `state`."""
        self._open()
        return self._episode.record(Ask.SCENE, Scene)

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin an episode; connect and lease a robot before, where that is to be done.

        Raises:
            LinkLost: hub or edge are not reached, or do not answer in `reset_timeout` s; calling it again is allowed.
            Busy: others have all robots that could be meant.
            NotAdmitted: the hub does not let this client in.
            UserGymError: what the environment itself raises.
        """
        self._open()
        if options is not None and not isinstance(options, Mapping):
            raise BadOption("reset options", options, "None or a dict")
        super().reset(seed=seed)
        deadline = monotonic() + self._reset_timeout
        if self._way.channel is None:
            self._connect(deadline)
        asked = {"seed": seed, "options": None if options is None else dict(options)}
        try:
            try:
                self._episode.ask_reset(asked)
                return self._episode.heard_reset(deadline)
            except (PeerLost, NotAdmitted):
                # The connection was lost since, or the edge was begun anew: once more, from the beginning.
                if monotonic() >= deadline:
                    raise
                self._connect(deadline)
                self._episode.ask_reset(asked)
                return self._episode.heard_reset(deadline)
        except PeerLost as error:
            raise self._episode.way_lost(error) from error

    def step(self, action: Any) -> Step:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Order, wait, and return what came of it. Raises RobotFault, BadAction."""
        self.begin_step(action)
        return self.end_step()

    def begin_step(self, action: Any) -> None:
        """The first half of `step`: the order leaves. What goes wrong with the way there, `end_step` says."""
        self._ready()
        self._episode.order(sendable(self.action_space, action))

    def end_step(self, copy: bool = True) -> Step:
        """The second half.

        Args:
            copy: the observation is the caller's; else its arrays are good until the next order, and it is not kept.
        """
        return self._episode.outcome(copy)

    def step_chunk(self, actions: Sequence[Any]) -> list[Step]:
        """Several steps with one message each way: the robot takes them one after the other at its own pace.

        The edge's time limit ends an episode; one that `gymnasium.make` was given here does not see these steps.

        Args:
            actions: (k, ...) one for each step, 1000 at most.

        Returns:
            What came of each step that was taken: fewer than k where one ended the episode; the actions after it are dropped.
            Where a fault ended it, a truncation follows the steps before it, with `info["fault"]`.

        Raises:
            BadAction: the first action means nothing, and no step was taken; of a later one, the steps before it are returned.
        """
        self._ready()
        return self._episode.chunk([sendable(self.action_space, action) for action in actions])

    def attend(self) -> None:
        """Say that the next step comes late on purpose: the watchdog at the edge begins anew."""
        self._episode.attend()

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A picture that the edge draws, in mode "rgb_array"."""
        self._ready()
        return self._episode.question(Ask.RENDER) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Give the robot back. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._way.leave()

    def _show(self, face: Face) -> None:
        self._face = face
        self.observation_space, self.action_space = face.observation_space, face.action_space
        self.task_description = face.task_description
        self.metadata = {**self.metadata, "render_fps": face.rate}  # pyright: ignore[reportIncompatibleVariableOverride, reportAttributeAccessIssue]
        if face.task is not None:
            self.task, self.spec_of_robot = face.task, face.spec_of_robot

    def _open(self) -> None:
        if self._closed:
            raise Closed("the environment is closed; make a new one")

    def _ready(self) -> None:
        self._open()
        self._episode.ready()

    def _connect(self, deadline: float) -> None:
        """To the hub, a robot, and the best way to it. Raises what `reset` raises."""
        try:
            said = self._way.claim(deadline, also_spaces=self._face is None)
        except PeerLost as error:
            raise self._episode.way_lost(error) from error
        try:
            if self._face is None:
                self._show(learnt(said))
            assert self._face is not None
            self._face.compare(said, self._edge)
            self._way.reach(said.get("door"))
        except PeerLost as error:
            self._way.release()
            raise self._episode.way_lost(error) from error
        except Exception:
            self._way.release()
            raise


def make(**options: Any) -> RemoteEnv:
    """Entry point of the ids."""
    return RemoteEnv(**options)
