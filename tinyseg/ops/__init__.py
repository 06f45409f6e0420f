"""The operations: each a class (`forward` on arrays, `backward` on Tensors) and the public function that checks."""
