from ecd_tune.tasks.own.definition import task as task

__all__ = ["__version__", "task"]

__version__: str
