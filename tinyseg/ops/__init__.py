"""The operations: each a class with `forward` on arrays and `backward` on Tensors, and the public function that checks."""
