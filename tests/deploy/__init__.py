"""What is in deploy/, checked as far as it can be without Docker, Kubernetes or SLURM."""
