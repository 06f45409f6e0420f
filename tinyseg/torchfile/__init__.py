"""PyTorch's own files (.pt, .pth), read and written without PyTorch and without running what is in them.

Such a file is a pickle beside raw numbers. A pickle is a small program that may call any function; `machine.py` runs it
with the few calls that rebuild tensors (`rebuild.py`) and refuses every other by name.
"""

from .reader import is_torch_file, read
from .writer import write
