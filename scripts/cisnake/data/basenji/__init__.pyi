from .folder import Examples as Examples
from .folder import read_folder as read_folder
from .folder import read_sizes as read_sizes
from .folder import read_target_transform as read_target_transform
