"""What a report says in tables."""
