"""What runs in the process of each peer; a module is run with -m, in the environment of its peer."""
