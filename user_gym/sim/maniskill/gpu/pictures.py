"""Cameras of n scenes on a GPU, drawn together through Vulkan: a Camera tells what is wanted, a Studio draws it.

It was written against the interface and the sources of SAPIEN 3.0.3, and has never run on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sapien  # pyright: ignore[reportMissingImports]
import torch
from sapien import render  # pyright: ignore[reportMissingImports]

from user_gym.core import U8, CameraSpec, Frame, RobotSpec, Task
from user_gym.errors import BadOption, Closed, MissingSystem, NotReset
from user_gym.sim.maniskill import scene
from user_gym.sim.maniskill.gpu import visuals
from user_gym.sim.maniskill.gpu.twins import GpuTwins


class Studio:
    """All cameras of all scenes. It draws nothing, and needs no Vulkan, until a camera is wanted.

    Args:
        spec: the arm.
        task: whose bodies are seen.
        device: that draws, the physics' own.
    """

    def __init__(self, spec: RobotSpec, task: Task, device: torch.device) -> None:
        self._spec, self._task, self._device = spec, task, str(device)
        self.close()

    def want(self, camera: CameraSpec) -> None:
        """One more camera, in the scenes that are built next.

        Raises:
            MissingSystem: this device cannot draw.
            BadOption: the scenes stand already, without it.
        """
        if camera.name in self._wanted:
            return
        if not sapien.Device(self._device).can_render():
            raise MissingSystem(
                f"cannot render here: Vulkan does not know {self._device}, which its driver brings; use obs='state' without "
                f"a render_mode, or User/{self._task.name}-sim-v0, which draws the same scene on the CPU"
            )
        if self._groups is not None:
            raise BadOption(
                "camera", camera.name, f"those of the first reset: {', '.join(self._wanted) or 'none'}", "close first"
            )
        self._wanted[camera.name] = camera

    def begin(self, count: int) -> None:
        """So many scenes will be built."""
        self._forget()
        if self._wanted:
            visuals.prepare(count)

    def systems(self) -> list[Any]:
        """What of the next sapien.Scene draws."""
        if self._wanted:
            self._renderers.append(render.RenderSystem(self._device))
        return self._renderers[-1:]

    def dress(self, place: Any, contents: scene.Contents) -> None:
        """Make visible what was put into a sapien.Scene, and put the cameras there."""
        if self._wanted:
            visuals.dress(place, contents, self._spec, self._task)
            cameras = {name: visuals.camera(place, contents, self._spec, spec) for name, spec in self._wanted.items()}
            self._places.append((contents, cameras))

    def open(self, system: Any) -> None:
        """Let everything be drawn where the tensors of a PhysxGpuSystem say it is; all scenes stand."""
        self._system, self._groups = system, {}
        if not self._wanted:
            return
        for contents, cameras in self._places:
            for component in visuals.moving(contents):
                for shape in component.entity.find_component_by_type(render.RenderBodyComponent).render_shapes:
                    shape.set_gpu_pose_batch_index(component.gpu_pose_index)
            last = contents.arm.links[self._spec.dof]
            for name, camera in cameras.items():
                if self._wanted[name].mount == "tool":
                    camera.set_gpu_pose_batch_index(last.gpu_pose_index)
        self._group = render.RenderSystemGroup(self._renderers)
        self._group.set_cuda_poses(system.cuda_rigid_body_data)
        for name in self._wanted:
            cameras = [each[name] for _, each in self._places]
            self._groups[name] = self._group.create_camera_group(cameras, [visuals.PICTURE])

    def draw(self, camera: str) -> U8:
        """Pictures (n, height, width, 3) of all scenes as they are now."""
        if camera not in self._wanted:
            raise Closed(f"camera {camera!r} is not connected; call connect() before the first reset")
        if self._groups is None:
            raise NotReset(f"camera {camera!r} before the first reset; call reset first")
        self._system.gpu_fetch_articulation_link_pose()
        self._system.gpu_fetch_rigid_dynamic_data()
        self._group.update_render()
        self._groups[camera].take_picture()
        return np.ascontiguousarray(self._groups[camera].get_picture_cuda(visuals.PICTURE).torch()[..., :3].cpu().numpy())

    def close(self) -> None:
        """Free all that draws; no camera is wanted any more."""
        self._wanted: dict[str, CameraSpec] = {}
        self._forget()

    def _forget(self) -> None:
        """Let go of the scenes."""
        self._system: Any = None
        self._group: Any = None
        self._groups: dict[str, Any] | None = None
        self._renderers: list[Any] = []
        self._places: list[tuple[scene.Contents, dict[str, Any]]] = []


class GpuCamera:
    """A Camera of all arms of a batch: frames (n, height, width, 3)."""

    def __init__(self, spec: CameraSpec, studio: Studio, twins: GpuTwins) -> None:
        self.spec, self._studio, self._twins = spec, studio, twins

    def connect(self) -> None:
        """As `Studio.want`."""
        self._studio.want(self.spec)

    def read(self) -> Frame:
        """Draw now: a frame is never old."""
        return Frame(self._studio.draw(self.spec.name), float(np.max(self._twins.observe().time)))

    def close(self) -> None:
        """As `Studio.close`: the cameras of a batch are closed together."""
        self._studio.close()
