from .files import write_inputs as write_inputs
from .genome import simulate as simulate
from .settings import read_settings as read_settings
