"""The service and the evaluation on Ray, where one process is not enough; needs the extra ``ray``."""
