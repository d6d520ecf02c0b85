"""ECDq1: energy-conserving descent at unit speed."""
