"""The content of a report, in sentences and tables of text."""
