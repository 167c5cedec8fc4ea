"""Vectors to answers."""

import os

# A call has one thread, and calls run side by side. BLAS reads this when numpy is loaded, so it
# stands before everything that loads it: with threads of its own, which spin while they wait for
# one another, the products of a head took 90 ms instead of 0.6 on two busy cores.
os.putenv("OPENBLAS_NUM_THREADS", "1")
