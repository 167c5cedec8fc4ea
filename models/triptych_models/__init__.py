"""Model tooling: from published weights to a verified bundle, without torch."""

import os

# Heads are fitted side by side, a thread each. BLAS reads this when numpy is loaded, so it stands
# before everything that loads it: with threads of its own, which spin while they wait for one
# another, a fit took ten times as long on two busy cores, and its last digits hung on their number.
os.putenv("OPENBLAS_NUM_THREADS", "1")
