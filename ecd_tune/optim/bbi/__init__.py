"""BBI, the energy-conserving optimizer before ECDSep."""
