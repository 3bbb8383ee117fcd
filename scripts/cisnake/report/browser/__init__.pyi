from .files import write_browser_files as write_browser_files
