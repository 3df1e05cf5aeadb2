"""Working directory of `dev` and `demo`: generated waybill.yaml, example rules, secrets, logs and data.

Secrets are generated for each run. The processes receive them as environment variables, as in a deployment.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from service.mock.platform import TOKEN
from service.settings import PREFIX

PACK_SECRET = "EXAMPLE_PACK_SECRET"
FLOW_PASSWORD = "EXAMPLE_FLOW_PASSWORD"
PLATFORM_TOKEN = "EXAMPLE_PLATFORM_TOKEN"
FLOW_USER = "till"
FLOW_TENANT = "T1"
PACK_ORGANIZATION = "org_1"

CONFIG = """\
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
"""


class Workspace(Struct, frozen=True):
    """Paths and generated secrets of a run. `own_config` is the waybill.yaml of the user, if any."""

    directory: Path
    secrets: dict[str, str]
    own_config: Path | None = None

    @property
    def config(self) -> Path:
        """Return the path of the waybill.yaml in use."""
        return self.own_config or self.directory / "waybill.yaml"

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
        kept = {name: value for name, value in outer.items() if not name.startswith(PREFIX)}
        own = {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
        return {**kept, **self.secrets, "WAYBILL_CONFIG": str(self.config), **own}


def make_workspace(directory: Path, own_config: Path | None = None) -> Workspace:
    """Create the folders and secrets. `write_config` writes waybill.yaml when the sandbox has an address."""
    generated = {name: secrets.token_urlsafe(24) for name in (PACK_SECRET, FLOW_PASSWORD)}
    generated = {} if own_config else {**generated, PLATFORM_TOKEN: TOKEN}
    workspace = Workspace(directory, generated, own_config and own_config.resolve())
    workspace.logs.mkdir(parents=True, exist_ok=True)
    (directory / "rules").mkdir(exist_ok=True)
    return workspace


def write_config(workspace: Workspace, sandbox_url: str) -> None:
    """Write waybill.yaml and the example rules for the sandbox, unless the user has a waybill.yaml."""
    if workspace.own_config:
        return
    config = CONFIG.format(
        sandbox=sandbox_url,
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
