"""Relations between results of one kernel: what must hold without any reference."""
