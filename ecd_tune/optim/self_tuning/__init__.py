"""Values that a run finds for itself: Δt, ν and F0."""
