"""The visual foundation models behind small interfaces."""

import os
import sys

# Operations that Apple's GPUs (MPS) lack then run on the CPU instead of failing. torch reads this
# when it is imported, which all modules here do later.
if sys.platform == "darwin":
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
