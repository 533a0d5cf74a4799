"""What every test needs before a library is imported: the environment that the host program gives an interpreter."""

from __future__ import annotations

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "ORT_DISABLE_TELEMETRY"):
    os.environ.setdefault(variable, "1")
