"""Studies of a curriculum: the same run with and without a part of it, over seeds, on one Ray."""
