"""Encrypted tokens in the cache that all pods share."""

from base64 import b64decode

from service.platforms.api.sealed_tokens import SealedTokenCache
from service.settings import Settings
from service.store import Store
from service.store.platforms.token_cache import SharedTokenCache

TOKEN = "planted-access-token-4711"


async def test_token_is_encrypted_in_the_store_and_shared_by_all_who_know_the_secret(
    store: Store, settings: Settings
) -> None:
    shared = SharedTokenCache(store.client, settings.fetch_timeout_seconds)
    first, second = SealedTokenCache(shared, "secret"), SealedTokenCache(shared, "secret")
    await first.put("erp", TOKEN, 60)
    found = await second.get("erp")
    assert isinstance(found, tuple)
    assert (found[0], found[1] > 50) == (TOKEN, True)
    stored = await shared.get("erp")
    assert isinstance(stored, tuple)
    assert TOKEN.encode() not in stored[0].encode() + b64decode(stored[0])
    await second.invalidate("erp", "another token")
    assert await first.get("erp") is not None
    await second.invalidate("erp", TOKEN)
    assert await first.get("erp") is None


async def test_text_that_cannot_be_decrypted_is_no_token(store: Store, settings: Settings) -> None:
    shared = SharedTokenCache(store.client, settings.fetch_timeout_seconds)
    sealed = SealedTokenCache(shared, "secret")
    await SealedTokenCache(shared, "other").put("erp", TOKEN, 60)
    assert await sealed.get("erp") is None
    for text in (TOKEN, "ä", ""):
        await shared.put("crm", text, 60)
        assert await sealed.get("crm") is None
