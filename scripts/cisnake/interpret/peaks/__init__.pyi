from .call import METHODS as METHODS
from .call import call_peaks as call_peaks
from .call import write_bed as write_bed
