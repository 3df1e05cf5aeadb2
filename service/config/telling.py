"""What is allowed in waybill.yaml but worth a second look, told in the log of the process that starts with it."""

from service.config.loading import Config
from service.log import get_logger


def log_config_warnings(config: Config) -> None:
    """Write one line for each warning; each names its path, and none a secret."""
    log = get_logger()
    for text in config.warnings:
        log.warning("config.warning", reason=text)
