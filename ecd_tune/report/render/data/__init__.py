"""Data of a report as files, and best hyperparameters in the forms of other tools."""
