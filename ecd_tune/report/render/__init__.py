"""The forms of a report: files, pages, the terminal."""
