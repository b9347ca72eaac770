"""Options: what a user can ask of a run, on the command line, in the ini file or as keywords."""
