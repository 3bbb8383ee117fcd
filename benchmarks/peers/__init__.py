"""Programs of the peers; each module runs with -m in the environment of its peer."""
