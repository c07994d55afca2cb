"""Namespaces under one root, and the tokens that open some of them."""
