"""The experiments, a module for each kind of fault."""
