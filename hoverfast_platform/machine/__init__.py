"""What this machine has and lacks, with a remedy for everything that is wrong."""

from hoverfast_platform.machine.examination import Examination, Finding, examine_machine

__all__ = ["Examination", "Finding", "examine_machine"]
