"""What the platform costs besides prediction, at many slides."""
