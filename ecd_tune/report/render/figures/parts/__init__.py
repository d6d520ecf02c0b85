"""What several figures are made of: style, scales, files."""
