"""The few calls of the CUDA runtime that copies and order need, through ctypes.

The library is the one that onnxruntime's provider runs on. Every call releases the interpreter's
lock; each raises CudaError for anything but success.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LIBRARY: Final = "libcudart.so.13"
# Values of the CUDA runtime's enums and flags (driver_types.h, CUDA 13).
SUCCESS: Final = 0
HOST_TO_DEVICE: Final = 1
DEVICE_TO_HOST: Final = 2
STREAM_NON_BLOCKING: Final = 1
EVENT_BLOCKING_SYNC: Final = 1
EVENT_DISABLE_TIMING: Final = 2
CAPTURE_MODE_RELAXED: Final = 2
# cudaDeviceProp begins with the name; the rest of it, about a kilobyte, is not read.
NAME_BYTES: Final = 256
PROPERTIES_BYTES: Final = 16_384

_POINTER, _INT, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
_OUT = ctypes.POINTER(ctypes.c_void_p)
_SIGNATURES: Final[dict[str, Sequence[Any]]] = {
    "cudaGetDeviceCount": (ctypes.POINTER(_INT),),
    "cudaGetDeviceProperties": (_POINTER, _INT),
    "cudaDriverGetVersion": (ctypes.POINTER(_INT),),
    "cudaRuntimeGetVersion": (ctypes.POINTER(_INT),),
    "cudaMemGetInfo": (ctypes.POINTER(_SIZE), ctypes.POINTER(_SIZE)),
    "cudaSetDevice": (_INT,),
    "cudaDeviceSynchronize": (),
    "cudaMalloc": (_OUT, _SIZE),
    "cudaFree": (_POINTER,),
    "cudaHostAlloc": (_OUT, _SIZE, ctypes.c_uint),
    "cudaFreeHost": (_POINTER,),
    "cudaMemcpyAsync": (_POINTER, _POINTER, _SIZE, _INT, _POINTER),
    "cudaStreamCreateWithFlags": (_OUT, ctypes.c_uint),
    "cudaStreamDestroy": (_POINTER,),
    "cudaStreamSynchronize": (_POINTER,),
    "cudaStreamWaitEvent": (_POINTER, _POINTER, ctypes.c_uint),
    "cudaEventCreateWithFlags": (_OUT, ctypes.c_uint),
    "cudaEventDestroy": (_POINTER,),
    "cudaEventRecord": (_POINTER, _POINTER),
    "cudaEventSynchronize": (_POINTER,),
    "cudaThreadExchangeStreamCaptureMode": (ctypes.POINTER(_INT),),
}


class CudaError(RuntimeError):
    """A call of the CUDA runtime did not succeed."""


class CudaRuntime:
    """The loaded library. OSError where it is not installed."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._library = ctypes.CDLL(library)
        self._library.cudaGetErrorString.restype = ctypes.c_char_p
        self._library.cudaGetErrorString.argtypes = (_INT,)
        for name, arguments in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, _INT

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the runtime."""
        if (code := getattr(self._library, name)(*arguments)) != SUCCESS:
            text = self._library.cudaGetErrorString(code).decode()
            raise CudaError(f"{name}: error {code}, {text}")

    def create(self, name: str, *arguments: Any) -> int:
        """Call a function whose first argument is where it puts a handle or an address."""
        made = ctypes.c_void_p()
        self.call(name, ctypes.byref(made), *arguments)
        return made.value or 0

    def integer(self, name: str) -> int:
        """Call a function that gives a number."""
        found = ctypes.c_int()
        self.call(name, ctypes.byref(found))
        return found.value

    def device_name(self) -> str:
        """Of the first GPU, the only one that is used."""
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        self.call("cudaGetDeviceProperties", properties, 0)
        return properties.raw[:NAME_BYTES].partition(b"\0")[0].decode()

    def free_bytes(self) -> int:
        """Memory of the GPU that nobody has taken."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """Zeros on the host, in memory that the GPU copies from and to by itself."""
        address = self.create("cudaHostAlloc", size, 0)
        array: NDArray[np.uint8] = np.ctypeslib.as_array(
            (ctypes.c_uint8 * size).from_address(address)
        )
        array[:] = 0
        return array

    def relax(self) -> None:
        """Let this thread wait and take memory while another records a graph."""
        mode = ctypes.c_int(CAPTURE_MODE_RELAXED)
        self.call("cudaThreadExchangeStreamCaptureMode", ctypes.byref(mode))
