"""How a run starts on a cluster: one file for each launcher, from the run's own needs to a script or a manifest."""
