"""How long a run takes on the CPUs of this machine: what it computes, how fast that is here, and the sum."""
