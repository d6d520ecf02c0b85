"""Where the kernels run: compiled on a GPU, or interpreted on the CPU with TRITON_INTERPRET=1."""

import os

import numpy as np
import pytest
import torch

CUDA = torch.cuda.is_available()
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" and not CUDA
REASON = "runs on a GPU (make gpu), and interpreted by tests/optim/test_fused_triton.py"

if not (CUDA or INTERPRETED):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def device():
    return torch.device("cuda", 0) if CUDA else torch.device("cpu")


@pytest.fixture(autouse=True, scope="session")
def _as_a_gpu_does():
    """Let the interpreter be fast enough, and round as a GPU does."""
    np.seterr(all="ignore")
    if not INTERPRETED:
        return
    import triton.language as tl
    from triton.runtime import interpreter

    prepared = set()

    def call(function, *args, before=interpreter.InterpretedFunction.__call__, **kwargs):
        # Its own prepares triton.language anew for each call of a function, 2 ms each time. The
        # launch has done so for our functions, the first call does for those of Triton itself.
        module = function.fn.__module__
        if module.startswith("triton.") and module not in prepared:
            prepared.add(module)
            return before(function, *args, **kwargs)
        return function.rewrite()(*args, **kwargs)

    def cast(builder, src, dst_type, before=interpreter.InterpreterBuilder.cast_impl):
        if src.dtype.scalar != tl.float32 or dst_type.scalar != tl.bfloat16:
            return before(builder, src, dst_type)
        # Its own cuts off the lower half of the number.
        shape = np.shape(src.data)
        rounded = torch.from_numpy(np.ascontiguousarray(src.data).reshape(-1)).bfloat16()
        data = rounded.view(torch.int16).numpy().view(np.uint16).reshape(shape)
        return interpreter.TensorHandle(data, dst_type.scalar)

    interpreter.InterpretedFunction.__call__ = call
    interpreter.InterpreterBuilder.cast_impl = cast
