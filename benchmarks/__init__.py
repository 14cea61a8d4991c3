"""The benchmark: our drivers and their peers on the same work, in one interleaved run."""
