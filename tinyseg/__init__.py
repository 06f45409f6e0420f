"""tinyseg."""
