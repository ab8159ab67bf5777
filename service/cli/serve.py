"""``proofrank serve``: answer ``POST /rank`` over HTTP."""

from __future__ import annotations

import argparse
import contextlib
import types
import typing
from pathlib import Path

from proofrank.core.errors import ProofrankError
from proofrank.service.cli.extras import SERVER, require_extra
from proofrank.service.settings.settings import Settings, load_settings, show_value
from proofrank.service.web.listening import Listeners

EXIT_FAULT = 1
EXIT_WRONG_SETTING = 2
"""Status of a server that ends because a setting cannot be met, as that of each command for a wrong option."""


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command a flag for every setting."""
    parser.description = (
        f"{__doc__} Every setting may also come from PROOFRANK_<NAME> or from a TOML file; flags go first."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings by name")
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        if bool in _types(field.annotation):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=field.description)
        else:
            default = "" if field.default in (None, ()) else f" (default: {show_value(field.default)})"
            text = f"{field.description}{default}".replace("%", "%%")
            parser.add_argument(flag, metavar="VALUE", help=text)


def _types(annotation: object) -> tuple[object, ...]:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return typing.get_args(annotation)
    return (annotation,)


def run(parsed: argparse.Namespace) -> int:
    """Runs the server until it is told to stop; 1 where a fault ends its start.

    Raises:
        ProofrankError: a setting cannot be met; names it, its value and where that came from.
    """
    settings = load_settings(
        {name: getattr(parsed, name) for name in Settings.model_fields}, config=parsed.config
    )
    # Before all that takes long, and before anything that is stored is touched.
    with contextlib.closing(Listeners(settings)) as listeners:
        return _serve(settings, listeners)


def _serve(settings: Settings, listeners: Listeners) -> int:
    # Imported here, for a wrong setting should be told at once.
    with require_extra("serve", SERVER):
        from proofrank.service.app import create_app, create_operation_app
        from proofrank.service.engine.start_checks import check_start
        from proofrank.service.storage.data_folder import DataFolderError
        from proofrank.service.web.auth import warn_if_open
        from proofrank.service.web.process import leave, set_up_process
        from proofrank.service.web.server import Server

    check_start(settings)
    set_up_process(settings.log_format, settings.log_level)
    warn_if_open(settings)

    def stop() -> None:
        server.should_exit = True

    try:
        app = create_app(settings, on_failure=stop)
    except DataFolderError as error:
        raise settings.refusal("data_folder", str(error)) from error
    services = app.state.services
    has_own_port = settings.metrics_port is not None
    server = Server(
        app,
        settings,
        listeners,
        on_signal=services.host.drain,
        watched=create_operation_app(services) if has_own_port else None,
    )
    # uvicorn has logged why, and exits with a status of its own.
    with contextlib.suppress(SystemExit):
        server.run()
    status = 0
    if services.host.has_failed:
        is_setting = isinstance(services.host.failure, ProofrankError)
        status = EXIT_WRONG_SETTING if is_setting else EXIT_FAULT
    elif not server.started:
        status = EXIT_FAULT
    if not services.host.has_ended:
        leave(status)
    return status
