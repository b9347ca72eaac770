"""What people see; reads records only, never a tensor."""
