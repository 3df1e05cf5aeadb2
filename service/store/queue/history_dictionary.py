"""Dictionary for the compression of histories: frequent parts of entries, the most frequent ones last.

Never change it: stored histories need it. A new dictionary needs a new first byte beside that in `serialization`.
A value of fixed length has a placeholder of that length. The parts before and after it then have the same distance,
which takes fewer bits. `zstd.finalize_dict` computed the tables from the histories of the test suite, for level 4.
"""

import sys
from base64 import b64decode

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_TABLES = b64decode(
    "N6Qw7K21OgktEMiSpA3///////+XcKXGbw020myDpD2t7G2nFEbZDq5JruydUsqWoDbkTMwFQwMAAAqGRaShmtYGAATgx4jExENE"
    "RcZGAsPCxaFQGCQIA8ckkTgsEgxEYiAIARAPslRUAAAARK7G4gOaVJKjOJBHGQhDBgCkAgAAAAABAAAABAAAAAgAAAA="
)
_TIME = b"1799999999999"
_RULEBOOK = b"0" * 16
_DIGEST = b"0" * 32
_UUID = b"00000000-0000-0000-0000-000000000000"

_ERRORS = (
    b'"error":"an earlier attempt started the effect and wrote no result"outcome_unknown","error":"the target may have '
    b'performed the effect: " closed the connection before the response was complete"the lease expired before the '
    b'request was sent"no response within  seconds for all look-ups of the event","error_kind":"lookup_timeout",'
    b'"lookups":[{"record":"'
    b'"error_kind":"rule_failed","error":"rule : action . Correct the rule or the record, then replay the event"}\n'
    b'account_throttled","error":"the limit of  is reached","retried""error_kind":"circuit_open","error":"the circuit '
    b'of  is open"},"deferred"platform_rejected_rate_limited","error_kind":"connect","error":"cannot connect to '
    b'"reset","error_kind":"timeout","superseded","resolved","error_kind":"platform_unavailable","error":"'
    b'"missing":"GET https:// answered 404: Not found."}"gone":true,"stale":true,"verdicts":[{"rule_id":"'
    b'"outcome":"record_missing"customer.deleted","change":"created","change":"changed","change":"deleted"order.created'
)
_ACTIONS = (
    b'"action_type":"rule:evaluate","repeat":"idempotent","inputs":{},"ordered":false}],"latest_only":true}],"previous":"'
    b'"result":"error","reason":"raw. is missing, at when.any["result":"unmatched","because":[["",true,"'
    b'"action_type":"emit","repeat":"keyed","inputs":{"type":"","change":"changed","platform":"","kind":"","record":"",'
    b'"depth":0,"trail":""}"action_type":"publish","repeat":"keyed","inputs":{"stream":"","length_max":10000,"message":{"'
    b'"action_type":"log","repeat":"idempotent","inputs":{"level":"info","message":""repeat":"unsafe","inputs":{"account":"'
    b'"operation":"","values":{"destination":"","path":"/","secret":null,"answer":{"http_status":200}}'
    b'"method":"PUT",DELETE"text/plain; charset=utf-8","cache-control":"no-cache","x-request-id":"","server":"nginx"'
)
_RESULTS = (
    b'"outcome":"error","duration_ms":1,"error_kind":"destination_throttled","error_kind":"target_unavailable","error":"'
    b'"error_kind":"target_rejected","error":" answered 400: ","exchange":{"request":{"url":"https://","method":"POST",'
    b'"headers":{"Accept":"application/json","Authorization":"[redacted]","traceparent":"00-'
    b'{"entry":"attempt","at_ms":' + _TIME + b',"attempt":1,"outcome":"dead_lettered","duration_ms":1'
    b'{"entry":"effect","at_ms":' + _TIME + b',"attempt":1,"rule_id":"","action_id":"","outcome":"ok","duration_ms":1.,'
    b'"exchange":{"request":{"headers":{"content-type":"application/json","idempotency-key":"' + _UUID + b'"}},'
    b'"response":{"status":200,"headers":{"content-type":"application/json; charset=utf-8"},"body":"{\\"id\\":'
    b'\\"ok\\":true}","body_bytes":11},"duration_ms":0.1,"peer":"10.0.0.1:443","tls":{"version":"TLSv1.3",'
    b'"cipher":"TLS_AES_256_GCM_SHA384","subject":"CN=","expires_at":"2027-01-01T00:00:00Z"}}}\n'
    b'{"entry":"attempt","at_ms":' + _TIME + b',"attempt":1,"outcome":"matched","duration_ms":0.11}\n'
)
_DECISIONS = (
    b'"]]}],"effects":[{"rule_id":"","action_id":"","action_type":"http","repeat":"keyed","inputs":{"method":"POST",'
    b'"url":"https://","headers":{},"body":{"order":""}}}]}\n'
    b'{"rule_id":"","result":"matched","because":[["any_of.where",true,1,2,[0]]]},'
    b'"result":"unknown","reason":"previous.status is missing, at when.all[1]","because":[["all[1]",null,"(missing)"],'
    b'["all[0]",true,"received"],["all[1]",false,""],["all[1].any_of.where",true,'
    b'{"entry":"received","at_ms":' + _TIME + b',"source":"","type":"purchase_order.updated","change":"updated",'
    b'"record":":purchase_order:","occurred_at":"2026-","occurred_at":null}\n'
    b'{"entry":"decided","at_ms":' + _TIME + b',"attempt":1,"rulebook":"' + _RULEBOOK + b'",'
    b'"digest":"' + _DIGEST + b'","previous_digest":"","version":"2026-01-01T00:00:00.000000Z","gone":false,'
    b'"verdicts":[{"rule_id":"","result":"matched"},{"rule_id":"","result":"unmatched","because":[["all[0]",false,'
    b'"(1 elements)"]]}],"effects":[]}\n'
    b'{"entry":"attempt","at_ms":' + _TIME + b',"attempt":1,"outcome":"unmatched","duration_ms":0.11}\n'
)

HISTORY_DICTIONARY = zstd.ZstdDict(_TABLES + _ERRORS + _ACTIONS + _RESULTS + _DECISIONS)
