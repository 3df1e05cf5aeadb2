"""Names of all keys. The Lua scripts build the same names from the prefix they receive.

The prefix of a shard is WAYBILL_KEY_PREFIX and its number in braces, `{wb:07:st}:` with the default. Here it is `wb:`.
What concerns all records is in the first shard.

    wb:dedupe:<source>:<digest>  id of the event with this dedupe key, in 16 bytes, and the digest of its content;
                                 expires with the dedupe window of the source
    wb:differing:<event>         hash: number of duplicates with other content, time, id and encoded event of the newest
    wb:delivery:<event>          the encoded event (`serialization`): original body, selected headers
    wb:event:<event>             hash of an event in progress: state, attempts, worker_crashes, running, ledger, outcome
    wb:history:<event>           JSON lines (`serialization`): history entries; the final fields follow the last line
    wb:lane:<record>             list of queued events, oldest first; the key is also the id of the lane's job
    wb:effects:<event>           id of the job that runs the deferred effects of an event; no such key exists
    wb:record:<record>           digest, version, change types and fields of the last decided state (`last_state`)
    wb:open, wb:dead, wb:ended   sorted sets of event ids by time of receipt, of the dead letter, of the end
    wb:wake                      list of tokens; idle workers block on it
    wb:receipt:<worker>          jobs of the worker's last claim, so that a claim can be repeated after a lost reply
    wb:workers                   hash of heartbeats
    wb:sweep, wb:sweeper         position of the sweep; lease of the worker that sweeps
    wb:damaged, <key>:damaged:<ms>   hash of keys that had another type, by the name under which they were set aside
    wb:rebuild                   cursor of the scan that rebuilds the indexes; absent if nothing has to be rebuilt
    wb:rulebook, wb:rulebook:<version>   active version with its author; document of each version (zlib)
    wb:rulebook:history, :retired        all publications, newest first; time at which each version was replaced
    wb:circuits                  hash of accounts, and of destinations as `destination:<name>`: open until (ms),
                                 consecutive failures, consecutive openings; in the keys below an account is either
    wb:order:<record>:<rule>/<action>    events with an unfinished effect, in event order; absent if none waits
    wb:parked, wb:parked:<account>       accounts with parked jobs; their jobs by time
    wb:parked_since:<account>    time since which the account has parked jobs, while probes fail
    wb:recovery:<account>        time and number of the jobs that were freed last
    wb:probe:<account>           token of the call that probes an account after its circuit was open
    wb:flight:<account>, wb:rate:<account>   concurrent calls by the end of their lease; calls by second
    wb:pace:<account>            time in ms from which the limit per second admits a call without a burst
    wb:token:<account>:<digest>  access token, shared by all pods; `:fetching` is the lease for fetching it
    wb:last_error:<account>      time, HTTP status and kind of the last error of a call; expires after a week
    wb:found_records             hash: by account `1` if a record was ever found, `0` if all were missing
    wb:futile:<source>           number of waits for a newer record that were in vain; expires after a week
    wb:poll:<source>             hash: counts and cursor of the current pass; `:lock` is the lease of the poll
    wb:polled:<source>:<bucket>  hashes: fingerprint of each record, by record id
    wb:quarantines               set of sources with quarantined deliveries
    wb:quarantine:<source>       sorted set of their ids by time; `:kept` holds the deliveries, `:bytes` their size,
                                 `:unverified` the ids of those without a valid signature
    wb:stream:<name>             stream of a `publish` action: event, rule and data of each entry
    wb:install                   installation record (`connection.installation`): state, generation, shards, id
    wb:arrivals:<hour>           hash: number of events of deliveries and polls, by source; expires after 26 hours
    wb:arrivals:call:<id>        string; a call that added to the counts, so that it can be repeated for ten minutes
    wb:arrived                   hash: time (ms) of the last of these events, by source
    wb:audit                     list of the newest changes by operators, newest first, of limited length
    wb:session_key               string; signs the sessions of the console
    wb:untrusted_proxy           address of a proxy that WAYBILL_TRUSTED_PROXIES does not name; expires after a day
    wb:tick                      string; written to check that the store accepts durable writes
    wb:dead_jobs                 stream of plain arq jobs that cannot run, with their original bytes
    wb:queue                     arq's queue: sorted set of job ids by time
    arq:job:*, arq:in-progress:*, arq:retry:*, arq:result:*   as in arq 0.28
"""

from msgspec import Struct


class Keys(Struct, frozen=True):
    """Key names under one prefix."""

    prefix: str
    queue: str

    def lane(self, record: str) -> str:
        """Return the key of a record's lane; it is also the id of the lane's job."""
        return f"{self.prefix}lane:{record}"

    def effects(self, event_id: str) -> str:
        """Return the id of the job that runs an event's deferred effects."""
        return f"{self.prefix}effects:{event_id}"

    def delivery(self, event_id: str) -> str:
        """Return the key of an encoded event."""
        return f"{self.prefix}delivery:{event_id}"

    def event(self, event_id: str) -> str:
        """Return the key of the state of an event in progress."""
        return f"{self.prefix}event:{event_id}"

    def history(self, event_id: str) -> str:
        """Return the key of an event's history."""
        return f"{self.prefix}history:{event_id}"

    def record(self, record: str) -> str:
        """Return the key of a record's last decided state."""
        return f"{self.prefix}record:{record}"

    def named(self, name: str) -> str:
        """Return a key that exists once per store, such as `open`, `dead`, `wake` or `workers`."""
        return self.prefix + name
