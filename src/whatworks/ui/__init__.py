"""The inspector: what a memory holds, in a browser on this machine. Needs the extra ``ui``."""
