"""Bodies of writes to Flow Retail: the fields of a customer that the page "Customer" prints.

Left out are the fields that the platform sets (`createdAt`, `lastModifiedAt`, `credit.balance`), and `extensions`,
which have operations of their own. Amounts are whole numbers with two implied decimals, as on the platform.
"""

from msgspec import UNSET, Struct, UnsetType


class FlowRetailAddressInput(
    Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", forbid_unknown_fields=True
):
    """Further address of a customer; `type` is, for example, DELIVERY_ADDRESS."""

    customer_address_uid: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    company_name: str | UnsetType = UNSET
    firstname: str | UnsetType = UNSET
    lastname: str | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    postal_code: str | UnsetType = UNSET
    city: str | UnsetType = UNSET
    country_code: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    phone: str | UnsetType = UNSET


class FlowRetailContactInput(
    Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", forbid_unknown_fields=True
):
    """Contact of a customer."""

    customer_contact_uid: str | UnsetType = UNSET
    firstname: str | UnsetType = UNSET
    lastname: str | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    mobile: str | UnsetType = UNSET


class FlowRetailConsentInput(
    Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", forbid_unknown_fields=True
):
    """Consent of a customer; `status` is true if it is given."""

    consent_uid: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    status: bool | UnsetType = UNSET
    source: str | UnsetType = UNSET


class FlowRetailCreditInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Credit of a customer; a `limit` of 250000 is 2500.00."""

    limit: int


class FlowRetailManagerInput(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Account manager of a customer: a user of the tenant."""

    tenant_user_uid: str


class FlowRetailCustomerInput(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Fields of a customer; omitted fields of an update stay as they are.

    `country_code` has two characters, `ledger_number` digits; `payment_terms` are days; an empty `pricelist_uid`
    removes it.
    """

    external_id: str | UnsetType = UNSET
    customer_type: str | UnsetType = UNSET
    company_name: str | UnsetType = UNSET
    firstname: str | UnsetType = UNSET
    lastname: str | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    mobile: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    postal_code: str | UnsetType = UNSET
    city: str | UnsetType = UNSET
    country_code: str | UnsetType = UNSET
    addresses: list[FlowRetailAddressInput] | UnsetType = UNSET
    contacts: list[FlowRetailContactInput] | UnsetType = UNSET
    consents: list[FlowRetailConsentInput] | UnsetType = UNSET
    loyalty_id: str | UnsetType = UNSET
    origin: str | UnsetType = UNSET
    ledger_number: str | UnsetType = UNSET
    vat_number: str | UnsetType = UNSET
    pricelist_uid: str | UnsetType = UNSET
    payment_terms: int | UnsetType = UNSET
    credit: FlowRetailCreditInput | UnsetType = UNSET
    account_manager: FlowRetailManagerInput | UnsetType = UNSET
    internal_note: str | UnsetType = UNSET
