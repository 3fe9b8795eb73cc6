"""Seeds are the same in every process and on every machine: metrics of a run depend on it."""

import hashlib

from rl.seeds import stable_seed


def test_a_seed_depends_on_its_parts_alone():
    first = int(hashlib.sha256(b"(0, 'grpo', 3)").hexdigest()[:8], 16)
    assert stable_seed(0, "grpo", 3) == first // 2 < 2**31
    assert (
        len({stable_seed(0, "grpo", 3), stable_seed(3, "grpo", 0), stable_seed(0, "grpo"), stable_seed("0", "grpo", 3)})
        == 4
    )
