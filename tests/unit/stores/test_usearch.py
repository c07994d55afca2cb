"""What is special about usearch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_model_can_be_loaded_after_the_store(tmp_path: Path) -> None:
    """usearch 2.26 before onnxruntime 1.32 ended the process."""
    code = (
        "import sys; from pathlib import Path; from whatworks.stores import open_store\n"
        "open_store('usearch', Path(sys.argv[1]), dim=3)\n"
        "import onnxruntime"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "store")], check=True)
