"""HTTP client for all calls to platforms and for actions: HTTP/1.1 on httptools (`service.http_client.client`)."""

from service.http_client.client import HttpClient
from service.http_client.options import DEFAULT_TRANSPORT, HttpResponse, TransportOptions

__all__ = ["DEFAULT_TRANSPORT", "HttpClient", "HttpResponse", "TransportOptions"]
