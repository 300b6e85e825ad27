"""Nothing that is installed with the platform reports to its makers."""

import subprocess
import sys

CODE = """
import sys
import hoverfast_platform
import openvino
from openvino.tools.ovc import telemetry_utils

assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub"
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
print(openvino.__version__)
"""


def test_openvino_is_imported_without_its_telemetry():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout
