"""Settings of every test."""

import os
import signal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `dse run`: small matrices, and a core per test process

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background of a shell; tests send Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
