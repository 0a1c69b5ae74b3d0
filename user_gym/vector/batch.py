"""n arms that a backend moves together, as one VectorEnv: one RobotBatch, the same Interface and Task as the single env.

Row i of an episode equals the single env's episode with the same seed, bit for bit: the batch maths is the single maths.
Except with `device="cuda"`, where PhysX steps the arms together and nothing repeats bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from user_gym import infos
from user_gym.core import F64, Bool, Cell, Compliance, Judgement, Obs, RobotBatch, RobotState, Scene, Start, Task
from user_gym.env import checked, draw, drawn, stages
from user_gym.errors import BadOption, Closed, NotReset
from user_gym.interface import Interface
from user_gym.robots import registry, specs
from user_gym.vector import arguments


class RobotVectorEnv(VectorEnv[Obs, np.ndarray, np.ndarray]):
    """Many equal arms stepped together.

    Args:
        num_envs: number of arms.
        task: as in RobotEnv, like backend, robot, obs and control.
        backend: see RobotEnv.
        robot: see RobotEnv.
        obs: see RobotEnv.
        control: see RobotEnv.
        render_mode: None or "rgb_array".
        max_episode_steps: of each episode; None: the task's own.
        autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED (then reset with options={"reset_mask": (n,) bool}).
        **options: of task and backend, as RobotEnv; the simulated backend also takes `threads`, that step the arms,
            and PhysX's a `device`.

    Raises:
        UnknownName, BadOption, MissingExtra: as RobotEnv.
    """

    def __init__(
        self,
        num_envs: int = 1,
        task: str | Callable[..., Task] = "PegInsert",
        backend: str = "sim",
        robot: str = "franka-fr3",
        obs: str = "state",
        control: str = "tcp",
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **options: Any,
    ) -> None:
        num_envs = arguments.count(num_envs)
        self.render_mode = arguments.render_mode(render_mode)
        self._autoreset = arguments.autoreset(autoreset_mode)
        self.spec_of_robot = spec = specs.spec(robot)
        assembled: tuple[Task, Cell[RobotBatch]] = registry.assemble(task, backend, spec, control, options, num_envs)
        self.task, self._cell = assembled
        self._interface = Interface(self.spec_of_robot, self.task, obs, control)
        self._max_episode_steps = arguments.episode(max_episode_steps, self.task.max_steps)
        self.num_envs = num_envs
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": self.task.rate, "autoreset_mode": self._autoreset}
        self.single_observation_space: gymnasium.Space[Any] = self._interface.observation_space
        self.single_action_space: gymnasium.Space[Any] = self._interface.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._state: RobotState | None = None
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]
        self._steps = np.zeros(num_envs, int)
        self._done = np.zeros(num_envs, bool)
        self._first = np.zeros((num_envs, 6))
        self._progress = np.zeros((num_envs, 0))

    @property
    def state(self) -> RobotState:
        """The newest states, (n, ...). Raises NotReset."""
        if self.closed:
            raise Closed("the environment is closed; make a new one")
        if self._state is None:
            raise NotReset("step, render or state before reset; call env.reset() first")
        return self._state

    @property
    def scene(self) -> Scene:
        """Where the objects are, (n, k, 7), of the same moment as `state`. Raises NotReset."""
        _ = self.state
        return self._cell.scene.observe()

    @property
    def task_description(self) -> str:
        """As RobotEnv.task_description."""
        return self.task.description

    def reset(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Begin episodes: of all arms, or of those in options["reset_mask"].

        Args:
            seed: one number (arm i gets seed + i), or one for each arm.
            options: "reset_mask": (n,) bool; "tcp": (6,) or (n, 6) where to start.

        Raises:
            BadOption: a seed list of another length, or an option that is not allowed.
        """
        if self.closed:
            raise Closed("the environment is closed; make a new one")
        options = checked(options)
        mask = arguments.mask(options.pop("reset_mask", None), self.num_envs, first=self._state is None)
        seeds = arguments.seeds(seed, self.num_envs)
        tcps = arguments.starts(options, mask, self.task.workspace)
        self._cell.connect(self._interface.cameras, self.render_mode)
        for i in np.flatnonzero(mask).tolist():  # last: a refused reset changes nothing
            if seeds[i] is not None:
                self._rngs[i], _ = np_random(seeds[i])
        self._begin(mask, tcps)
        return self._observe(self._pictures()), self._resting(mask)

    def step(self, actions: np.ndarray) -> tuple[Obs, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Order all arms; wait one control period; judge. Arms that autoreset say so as the mode prescribes."""
        state = self.state
        resting = self._done.copy() if self._autoreset is AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
        if self._autoreset is AutoresetMode.DISABLED and self._done.any():
            over = np.flatnonzero(self._done).tolist()
            raise NotReset(f"episodes {over} are over; reset them with options={{'reset_mask': ...}}")
        acting = ~resting
        actions = arguments.actions(actions, self.action_space.shape or ())
        actions[resting] = 0.0  # ignored, whatever they are
        command, executed, clipped = self._interface.command(actions, state)
        if acting.any():
            self._state = self._cell.robot.exchange(command, None if acting.all() else acting)
        judged = self._judge()
        self._progress = judged.progress  # of arms that rest, it is drawn anew below
        self._steps[acting] += 1
        terminated = (judged.success | judged.failure) & acting
        truncated = (self._steps >= self._max_episode_steps) & acting
        reward = np.where(acting, judged.reward, 0.0)
        self._done = terminated | truncated
        told = stages(self.task, judged.progress)
        info = infos.acting(acting, judged, executed, clipped, self.state.time, told) if acting.any() else {}
        if resting.any():
            self._begin(resting)
            infos.merge(info, self._resting(resting), resting)
        obs = self._observe(self._pictures())
        if self._autoreset is AutoresetMode.SAME_STEP and self._done.any():
            obs, info = self._restart(obs, info)
        return obs, reward, terminated, truncated, info

    def render(self) -> tuple[np.ndarray, ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One picture (480, 480, 3) of each arm, in mode "rgb_array"."""
        _ = self.state
        return tuple(self._cell.view.read().image) if self.render_mode == "rgb_array" and self._cell.view else None

    def set_compliance(self, compliance: Compliance) -> None:
        """Change how the arm yields, from the next step on; kept over resets. Raises BadOption."""
        if self.closed:
            raise Closed("the environment is closed; make a new one")
        self._cell.robot.set_compliance(compliance)

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the arms and let go of everything."""
        self._cell.close()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """An attribute, or the result of a method, once for each arm: they are all alike. "render": each arm's picture."""
        if name == "render":
            return self.render() or (None,) * self.num_envs
        value = getattr(self, name)
        value = value(*args, **kwargs) if callable(value) else value
        return (value,) * self.num_envs

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute once for each arm."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of all arms; a list must give one equal value for each."""
        if isinstance(values, list | tuple):
            if len(values) != self.num_envs or not all(v is values[0] or np.array_equal(v, values[0]) for v in values):
                raise BadOption(name, values, f"one value, or {self.num_envs} equal ones: the arms share their settings")
            values = values[0]
        setattr(self, name, values)

    def _begin(self, mask: Bool, tcps: Mapping[int, F64 | None] = MappingProxyType({})) -> None:
        """Draw starts for the arms of mask and place them."""
        starts = {i: draw(self.task, self._rngs[i], tcps.get(i)) for i in np.flatnonzero(mask).tolist()}
        any_start = next(iter(starts.values()))
        rows = [starts.get(i, any_start) for i in range(self.num_envs)]  # rows outside the mask are ignored
        batch = Start(
            tcp=np.stack([s.tcp for s in rows]),
            gripper=np.array([s.gripper for s in rows], float),
            objects=np.stack([s.objects for s in rows]),
            progress=np.stack([s.progress for s in rows]),
            seed=np.array([s.seed for s in rows]),
            joints=np.stack([s.joints for s in rows]),
        )
        self._state = self._cell.robot.reset(mask, batch)
        self._first = np.where(mask[:, None], self._state.tcp, self._first)  # pyright: ignore[reportOptionalMemberAccess]
        self._progress = batch.progress if mask.all() else np.where(mask[:, None], batch.progress, self._progress)
        self._steps[mask] = 0
        self._done = self._done & ~mask

    def _resting(self, mask: Bool) -> dict[str, Any]:
        return infos.resting(mask, self.state.time, drawn(self._cell.robot), stages(self.task, self._progress))

    def _restart(self, obs: Obs, info: dict[str, Any]) -> tuple[Obs, dict[str, Any]]:
        """SAME_STEP: the last observation and info move to final_obs and final_info."""
        done = self._done.copy()
        final = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(done):
            final[i] = {k: v[i].copy() for k, v in obs.items()}
        self._begin(done)
        rest = infos.finish(info, done, final)
        infos.merge(rest, self._resting(done), done)
        return self._observe(self._pictures()), rest

    def _judge(self) -> Judgement:
        return self.task.judge(self.state, self._cell.scene.observe(), self._progress)

    def _observe(self, pictures: dict[str, Any]) -> Obs:
        return self._interface.observe(self.state, self._cell.scene.observe(), pictures, self._first)

    def _pictures(self) -> dict[str, Any]:
        return {name: self._cell.cameras[name].read().image for name in self._interface.cameras}
