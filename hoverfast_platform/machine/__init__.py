"""What this machine has and lacks, with a remedy for everything that is wrong."""
