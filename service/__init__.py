"""What both pods know. Only what answers HTTP is in `service.ingress`; only what runs jobs is in `workers`.

events, records, errors   the words                 config, settings     what the operator writes
signatures, envelopes     how a delivery is read    sources              one configured sender, joined from the three
platforms                 one file per platform     rules, actions       what is decided, and what an action is
store                     the only room that knows Redis keys
ingestion                 from a verified delivery to stored events, without HTTP
ingress                   the front door            sandbox, dev         for people at a desk; no pod imports them
"""
