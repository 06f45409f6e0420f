"""Hand-written kernels: arrays in, arrays out. No Tensor is known here.

Each family is a folder: `__init__.py` is the contract and the choice of backend, `reference.py` the definition
in plain loops, `cpu.py` the numba kernels.
"""
