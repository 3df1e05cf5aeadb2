"""Working directory of `dev` and `demo`: generated waybill.yaml, example rules, secrets, logs and data.

Secrets are generated once for each directory. The processes receive them as environment variables, as in a deployment.
"""

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, structs

from service.config.config_files import config_folder, merge_files, read_config_files
from service.errors import ConfigError
from service.mock.platform import TOKEN
from service.settings import PREFIX

PACK_SECRET = "EXAMPLE_PACK_SECRET"
FLOW_PASSWORD = "EXAMPLE_FLOW_PASSWORD"
PLATFORM_TOKEN = "EXAMPLE_PLATFORM_TOKEN"
FLOW_USER = "till"
FLOW_TENANT = "T1"
PACK_ORGANIZATION = "org_1"

LOG_BYTES_MAX = 64 << 20

ADMIN_TOKEN = "ADMIN_TOKEN"
ADMIN_TOKEN_SHA256 = "DEV_ADMIN_TOKEN_SHA256"
ADMIN_TOKEN_NAME = "waybill-dev"

CONFIG = """\
# Written by `waybill dev` at each start. Write files of your own with: waybill init

platforms:
  pack:
    kind: pack_cloud
    base_url: "{sandbox}/pack_cloud/v1"
    organization_id: {organization}
    token: {{env: {token}}}
  flow:
    kind: flow_retail
    base_url: "{sandbox}/flow_retail/v2"
    tenant_uid: {tenant}
    token: {{env: {token}}}

sources:
  pack-orders:
    platform: pack
    verify: {{scheme: hmac, header: X-Signature, algorithm: sha256, encoding: hex, secrets: [{{env: {pack_secret}}}]}}
    envelope: platform
  flow-till:
    platform: flow
    verify: {{scheme: basic, username: {flow_user}, password: {{env: {flow_password}}}}}
    envelope: platform

destinations:
  sales:
    kind: slack
    url: "{sandbox}/_sandbox/slack/sales"     # of a real Slack: url: {{env: SLACK_URL}}
    allow_private_host: true
  mail:
    kind: email
    host: 127.0.0.1
    port: {mail_port}
    security: none     # of a real mail server: starttls or tls, with username and password
    from: waybill@example.com

rules: [rules/*.yaml]

outbound:
  allow_private_hosts: [127.0.0.1]     # the sandbox; http actions reach no other private address
"""

RULES = """\
- id: short-receipt
  name: Received less than ordered
  type: purchase_order
  sources: [pack-orders]
  when:
    all:
      - {{field: status, op: eq, value: received}}
      - {{any_of: lines, where: {{field: quantity_received, op: lt, ref: quantity_ordered}}}}
      - {{field: total.value, op: gt, value: "100.00"}}
  actions:
    - {{id: warn, do: log, level: warning, message: "{{reference}}: {{quantity_missing}} units missing"}}
    - {{id: claim, do: http, url: "{sink}", body: {{order: "{{id}}", missing: "{{quantity_missing}}"}}}}

- id: business-customer
  name: Send business customers to the ERP
  type: customer
  sources: [flow-till]
  when: {{field: type, op: eq, value: COMPANY}}
  actions:
    - {{id: send, do: http, url: "{sink}", body: {{customer: "{{id}}"}}}}
    - {{id: tell, do: slack, destination: sales, text: "Business customer {{company_name}}"}}
    - id: mail
      do: email
      destination: mail
      to: [sales@example.com]
      subject: "Business customer {{company_name}}"
      text: "{{company_name}} is a new business customer."
"""


class Workspace(Struct, frozen=True):
    """Paths and secrets. `own_config` is the waybill.yaml of the user, if any.

    `sockets` is a folder with a short path, as the unix socket of the store requires. With an `admin_token`, the
    service accepts it beside the tokens of waybill.yaml.
    """

    directory: Path
    sockets: Path
    secrets: dict[str, str]
    own_config: Path | None = None
    admin_token: str = ""

    @property
    def config(self) -> Path:
        """Return the path of the waybill.yaml in use."""
        return self.own_config or self.directory / "waybill.yaml"

    @property
    def service_config(self) -> Path:
        """Return the path of the waybill.yaml of the service, which contains the admin token if there is one."""
        return self.directory / "service.yaml" if self.admin_token else self.config

    @property
    def logs(self) -> Path:
        """Return the folder of the logs: one `.jsonl` per process."""
        return self.directory / "logs"

    @property
    def data(self) -> Path:
        """Return the folder of the embedded store."""
        return self.directory / "valkey"

    def environ(self, outer: Mapping[str, str], **settings: str) -> dict[str, str]:
        """Return the environment of a child process: `outer` without `WAYBILL_*`, the secrets, and `settings`."""
        own = {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
        return {**without_settings(outer), **self.secrets, "WAYBILL_CONFIG": str(self.config), **own}


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without `WAYBILL_*`."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX)}


def make_workspace(directory: Path, own_config: Path | None = None) -> Workspace:
    """Create the folders and secrets. `write_config` writes the configuration of the sandbox.

    Logs of earlier runs stay. Files above LOG_BYTES_MAX are renamed, over the file that was renamed before.
    """
    for folder in ("logs", "rules"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for path in (directory / "logs").glob("*.jsonl"):
        if path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_name(f"{path.name}.1"))
    generated = {} if own_config else _load_secrets(directory, PACK_SECRET, FLOW_PASSWORD) | {PLATFORM_TOKEN: TOKEN}
    return Workspace(directory, directory / "valkey", generated, own_config and own_config.resolve())


def with_admin_token(workspace: Workspace) -> Workspace:
    """Return the workspace with an admin token, which is the same after a restart."""
    return structs.replace(workspace, admin_token=_load_secrets(workspace.directory, ADMIN_TOKEN)[ADMIN_TOKEN])


def write_config(workspace: Workspace, sandbox_url: str, mail_url: str) -> None:
    """Write waybill.yaml and the example rules for the sandbox, unless the user has a waybill.yaml."""
    if workspace.own_config:
        return
    config = CONFIG.format(
        sandbox=sandbox_url,
        mail_port=urlsplit(mail_url).port,
        organization=PACK_ORGANIZATION,
        tenant=FLOW_TENANT,
        token=PLATFORM_TOKEN,
        pack_secret=PACK_SECRET,
        flow_user=FLOW_USER,
        flow_password=FLOW_PASSWORD,
    )
    workspace.config.write_text(config, encoding="utf-8")
    rules = RULES.format(sink=f"{sandbox_url}/_sandbox/sink/erp")
    (workspace.directory / "rules" / "examples.yaml").write_text(rules, encoding="utf-8")


def write_service_config(workspace: Workspace) -> dict[str, str]:
    """Write the waybill.yaml of the service if there is an admin token. Return the variables that it refers to.

    It is the file in use with the token added. waybill.yaml contains the digest of a token by reference only.
    """
    if not workspace.admin_token:
        return {}
    config = merge_files(read_config_files(workspace.config), [])
    admin = cast("dict[str, Any]", config.get("admin") or {})
    token = {"name": ADMIN_TOKEN_NAME, "role": "admin", "sha256": {"env": ADMIN_TOKEN_SHA256}}
    folder = config_folder(workspace.config).absolute()
    changed = {
        "rules": [str(folder / pattern) for pattern in config.get("rules") or ()],
        "admin": {**admin, "tokens": [*admin.get("tokens", ()), token]},
    }
    workspace.service_config.write_bytes(msgspec.json.encode(config | changed))
    return {ADMIN_TOKEN_SHA256: hashlib.sha256(workspace.admin_token.encode()).hexdigest()}


def _load_secrets(directory: Path, *names: str) -> dict[str, str]:
    """Return secrets by name, generated on first use and kept in a file for this user only.

    Raises:
        ConfigError: the file is damaged.
    """
    path = directory / "secrets.json"
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}
    except msgspec.MsgspecError:
        raise ConfigError(str(path), "is damaged", "remove it, or add --fresh") from None
    kept = {name: secrets.token_urlsafe(24) for name in names} | kept
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor with its mode
        file.write(msgspec.json.encode(kept))
    return {name: kept[name] for name in names}
