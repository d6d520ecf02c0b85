"""One trial that learns: steps, epochs, evaluation, averaged weights."""
