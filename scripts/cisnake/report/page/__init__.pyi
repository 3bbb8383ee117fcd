from .document import write_report as write_report
from .shell import html_environment as html_environment
from .versions import list_versions as list_versions
