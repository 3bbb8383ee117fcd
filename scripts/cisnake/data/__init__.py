"""Genome, annotation, measurements and the HDF5 data set made from them."""
