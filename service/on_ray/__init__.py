"""The service and the evaluation on Ray, for more than one process; needs the extra ``ray``."""
