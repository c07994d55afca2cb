"""The main job on data that comes with the package: learn from a log, choose where it has not been."""

from whatworks.demo.run import Result, main, run

__all__ = ["Result", "main", "run"]
