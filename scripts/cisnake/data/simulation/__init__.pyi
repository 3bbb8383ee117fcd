from .files import write_inputs as write_inputs
from .genome import simulate as simulate
from .settings import check_settings as check_settings
