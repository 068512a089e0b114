"""Launching Triton's kernels in a fraction of the time that Triton takes.

Triton inspects every argument at every launch, which takes some 75 microseconds. A training step
has hundreds of launches, and the GPU waits for them.
"""

from typing import Any

from torch import Tensor
from triton.runtime import driver


class Kernel:
    """A Triton kernel and its compiled variants.

    Args:
        function: The kernel. It must not be specialised on the numbers passed to it
            (`do_not_specialize`): variants differ only in the tensors' types and alignment.
        warps: Warps of a program.
        options: Further options for Triton.
    """

    def __init__(self, function: Any, warps: int = 4, **options: Any) -> None:
        self.function = function
        self.options = {"num_warps": warps, "num_stages": 1, **options}
        self.compiled: dict[tuple, Any] = {}

    def launch(self, programs: int, *values: Any, **constants: Any) -> None:
        """Run it.

        Args:
            programs: Number of programs.
            values: Tensors on the current device, and numbers below 2^31.
            constants: Compile-time constants, in the order of its parameters.
        """
        device = values[0].device
        tensors = [
            (value.dtype, value.data_ptr() % 16 == 0)
            for value in values
            if isinstance(value, Tensor)
        ]
        key = (device, *tensors, *constants.values())
        compiled = self.compiled.get(key)
        if compiled is None:  # always so in Triton's interpreter
            launch = self.function[(programs,)]
            self.compiled[key] = launch(*values, **constants, **self.options)
        else:
            compiled.run(
                *(programs, 1, 1, driver.active.get_current_stream(device.index)),
                *(compiled.function, compiled.packed_metadata),
                *(None, None, None),  # hooks of profilers, and their arguments
                *values,
                *constants.values(),
            )
