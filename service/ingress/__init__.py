"""What only the pod that answers HTTP needs: the senders' door, health, and the server that runs both ports.

- `webhooks`   one delivery, from its first byte to the 202: the order of work
- `bodies`, `headers`, `deadlines`   its steps: read body and headers within limits, end waits
- `answers`, `problems`   what is sent back: bytes made beforehand, and refusals as problem+json
- `health`, `late_store`   may we accept? and the store that may come later than the process
- `app`, `server`, `commands`   the joining of the parts, both ports in one event loop, `waybill serve`
"""
