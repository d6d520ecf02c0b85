"""User tasks: a function that describes a model, or trains one in its own loop."""
