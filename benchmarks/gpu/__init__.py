"""The CUDA kernels beside cuDNN and PyTorch, by one command: `python -m benchmarks.gpu`."""
