"""What coding agents do: a hook writes it down in milliseconds, and the memory learns later."""
