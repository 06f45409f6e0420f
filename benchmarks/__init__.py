"""tinyseg beside PyTorch. Our thread pool is loaded first: PyTorch then shares it, and idle threads spin alike."""

from tinyseg.kernels import jit
