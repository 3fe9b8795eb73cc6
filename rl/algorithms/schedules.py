"""Learning-rate schedules as one pure function."""

import math

from rl.config.stages import OptimConfig


def lr_factor(update: int, total_updates: int, optim: OptimConfig) -> float:
    """Fraction of the peak learning rate at an update (0-based) of a stage with ``total_updates`` updates.

    Warm-up rises linearly from above 0 at update 0 to 1 at update ``warmup_steps``. Then: constant; cosine down to
    ``min_lr_ratio``; or WSD, which stays at 1 and falls linearly in the last ``decay_fraction`` of the stage.
    """
    if update < optim.warmup_steps:
        return (update + 1) / (optim.warmup_steps + 1)
    if optim.schedule == "constant":
        return 1.0
    low = optim.min_lr_ratio
    if optim.schedule == "cosine":
        progress = (update - optim.warmup_steps) / max(1, total_updates - optim.warmup_steps)
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    decay_start = max(optim.warmup_steps, total_updates - round(total_updates * optim.decay_fraction))
    if update < decay_start:
        return 1.0
    progress = (update - decay_start) / max(1, total_updates - decay_start)
    return 1 - (1 - low) * min(1.0, progress)
