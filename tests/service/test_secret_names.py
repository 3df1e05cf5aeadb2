"""Secrets in clear: random parts of a path are told from names of words and numbers."""

import random
import string

import pytest

from service.secret_names import has_secret_segment

DIGITS, LOWER, UPPER = string.digits, string.ascii_lowercase, string.ascii_uppercase
NAMES = """
    exportorders2024version2final purchaseordernotifications2v1 PurchaseOrderNotificationsV2
    businesscentral365integration warehousemanagementsystem2orders integrationwebhooks1endpoint
    purchaseOrderStatusChanged2 synchronizeproductstocks2 bestellbestaetigungen2024neu
    kundenauftragsbenachrichtigung1 notificacionesdepedidos2024 commandesfournisseurs2025v1
    orderfulfillmentcallback20261201 inventory2024q4adjustmentsfeed shopify2netsuiteorderconnector
""".split()  # noqa: SIM905 - a list of words reads best as words


@pytest.mark.parametrize("name", NAMES)
def test_name_of_words_and_numbers_is_no_secret(name: str) -> None:
    assert len(name) >= 25
    assert not has_secret_segment(f"https://x.test/api/{name}/{{id}}?n=1")


@pytest.mark.parametrize("alphabet", [LOWER + DIGITS, UPPER + DIGITS, LOWER + UPPER + DIGITS, "0123456789abcdef"])
def test_random_part_of_a_path_is_a_secret(alphabet: str) -> None:
    chance = random.Random(4711)
    tokens = ["".join(chance.choices(alphabet, k=chance.randint(28, 64))) for _ in range(2_000)]
    tokens = [token for token in tokens if not (token.isalpha() or token.isdigit())]
    assert [token for token in tokens if not has_secret_segment(f"https://x.test/hooks/{token}")] == []
    assert len(tokens) > 1_900
