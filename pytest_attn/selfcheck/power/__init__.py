"""The power of a verdict: the least defect that it sees on a case, measured by injecting it."""
