"""The GPUs that this system's Vulkan knows, asked in a process of its own: a driver may crash.

    python -m edgewright.benchmarks.targets.gpu.devices      (prints a JSON list of names)

The layout of what is asked for is that of VkPhysicalDeviceProperties:
https://registry.khronos.org/vulkan/specs/latest/man/html/VkPhysicalDeviceProperties.html
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys
from functools import cache

from edgewright.runtime.machine.child import call

_INSTANCE = 1  # VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO
_REAL = (1, 2, 3)  # VkPhysicalDeviceType: integrated, discrete, virtual; 4 is a CPU
_MOST_DEVICES, _PROPERTIES_BYTES = 16, 4096  # the structure takes 824


@cache
def real() -> tuple[str, ...]:
    """The names of the GPUs that are no software; empty without one, or without a Vulkan loader."""
    done = call([sys.executable, "-P", "-m", __name__])
    try:
        return tuple(map(str, json.loads(done.stdout)))
    except ValueError:
        return ()


def _found() -> list[str]:
    try:
        vulkan = ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return []
    # sType, pNext, flags, pApplicationInfo, layers and extensions: a count and a pointer each
    asked = ctypes.create_string_buffer(struct.pack("@iPIPIPIP", _INSTANCE, 0, 0, 0, 0, 0, 0, 0))
    instance = ctypes.c_void_p()
    if vulkan.vkCreateInstance(asked, None, ctypes.byref(instance)) != 0:
        return []
    count, devices = ctypes.c_uint32(_MOST_DEVICES), (ctypes.c_void_p * _MOST_DEVICES)()
    if vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices) < 0:
        return []
    names = []
    for device in devices[: count.value]:
        told = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), told)
        kind, name = struct.unpack_from("@I256s", told.raw, 16)  # behind versions, vendor and device
        if kind in _REAL:
            names.append(name.partition(b"\0")[0].decode("utf-8", "replace"))
    return names


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_found()))
