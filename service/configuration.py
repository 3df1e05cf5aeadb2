"""Loading of waybill.yaml with the platforms and destinations of the registries."""

from collections.abc import Mapping
from pathlib import Path

from service.config.loading import Config, ConfigReport, KindTypes, check_config
from service.destinations.registry import CONFIG_TYPE as DESTINATION_TYPE
from service.errors import ConfigErrors, MissingSecret
from service.platforms.registry import CONFIG_TYPE as PLATFORM_TYPE

KIND_TYPES = KindTypes(PLATFORM_TYPE, DESTINATION_TYPE)


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read and check waybill.yaml; every secret that it refers to must be set.

    Args:
        path: The YAML file.
        environ: The environment variables.

    Returns:
        The configuration.

    Raises:
        ConfigErrors: All mistakes, with file and line.
    """
    report = read_config(path, environ)
    if report.config is None:
        raise ConfigErrors(report.mistakes)
    return report.config


def load_checkable_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read and check waybill.yaml for commands that use none of its secrets, which may be missing.

    Args:
        path: The YAML file.
        environ: The environment variables.

    Returns:
        The configuration.

    Raises:
        ConfigErrors: All other mistakes, with file and line.
    """
    report = read_config(path, environ)
    if report.checkable is None:
        raise ConfigErrors([mistake for mistake in report.mistakes if not isinstance(mistake, MissingSecret)])
    return report.checkable


def read_config(path: Path, environ: Mapping[str, str]) -> ConfigReport:
    """Read and check waybill.yaml, and gather all mistakes.

    Args:
        path: The YAML file.
        environ: The environment variables.

    Returns:
        The configuration, or every mistake that was found.
    """
    return check_config(path, environ, KIND_TYPES)
