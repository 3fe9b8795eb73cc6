"""The training engine over megatron-core."""

import warnings

# It warns a dozen times a process that CUDA-only packages are missing, which it does not need here.
warnings.filterwarnings("ignore", module="megatron")
