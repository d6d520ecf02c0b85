"""Parameters and gradients as blocks of real numbers: layout, scales, noise, processes."""
