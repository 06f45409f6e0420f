"""tinyseg beside PyTorch, each with the thread pool that it has alone.

PyTorch is imported first: it then loads the OpenMP that it brings along. Where numba has loaded the system's before,
PyTorch takes that one, on which its attention is 10 to 30 times slower (8×4×256×32: 85 ms in place of 8.4).
"""

import torch
