"""Parts of a mock of a platform: HTTP, records and routes. No pod imports them, nor the mocks."""
