"""How fast a kernel is: clocks, a control, samples, a measurement."""
