from .contrasts import Contrast as Contrast
from .contrasts import each_group as each_group
from .contrasts import resolve_contrast as resolve_contrast
