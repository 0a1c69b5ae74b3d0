"""NVIDIA's GPUs, through the driver's own NVML. No package is needed, and without a driver there are none."""

from __future__ import annotations

import ctypes

from user_gym.core import Device

_LIBRARY = "libnvidia-ml.so.1"
_TEXT = 96  # bytes; NVML's longest name and UUID (NVML_DEVICE_NAME_V2_BUFFER_SIZE, NVML_DEVICE_UUID_V2_BUFFER_SIZE)


def find() -> tuple[Device, ...]:
    """Each GPU; its address is its UUID, as CUDA_VISIBLE_DEVICES takes it. One that fails to answer is not healthy."""
    try:
        nvml = ctypes.CDLL(_LIBRARY)
    except OSError:  # no driver: no GPU
        return ()
    if nvml.nvmlInit_v2() != 0:
        return ()
    try:
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return ()
        return tuple(_device(nvml, index) for index in range(count.value))
    finally:
        nvml.nvmlShutdown()


def _device(nvml: ctypes.CDLL, index: int) -> Device:
    handle = ctypes.c_void_p()
    name, uuid = ctypes.create_string_buffer(_TEXT), ctypes.create_string_buffer(_TEXT)
    status = (
        nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle))
        or nvml.nvmlDeviceGetName(handle, name, ctypes.c_uint(_TEXT))
        or nvml.nvmlDeviceGetUUID(handle, uuid, ctypes.c_uint(_TEXT))
    )
    if status:
        reason = f"NVML answers with error {status}; nvidia-smi says more"
        return Device(f"gpu{index}", "gpu", "?", f"index {index}", healthy=False, reason=reason)
    return Device(f"gpu{index}", "gpu", name.value.decode(), uuid.value.decode())
