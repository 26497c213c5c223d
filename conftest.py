"""What holds for every test, those in notebooks included."""

import os

# Many tests and kernels share the cores. A thread that waits for its turn should sleep instead
# of spinning; this has to be said before anything loads torch, and kernels inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
