"""Settings of every test."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `dse run`: small matrices, and a core per test process
