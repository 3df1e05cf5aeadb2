"""The names of all keys, in one place; the Lua scripts build the same names from the prefix they are given.

With the default prefix `wb:`

    wb:claim:<source>:<digest>   the id of the event that holds this event key; expires with the source's dedupe window
    wb:delivery:<event>          the event as it arrived (`serialization`): original bytes, the headers that matter
    wb:event:<event>             hash: state, attempts, deaths, running, ledger, fate, by; from when a run takes it up
                                 until it ends, when what is left of it goes behind the story
    wb:story:<event>             JSON lines (`serialization`): what became of it; the decision with its effects is one
    wb:lane:<record>             list of waiting events, head first; also the id of the lane's job
    wb:effects:<event>           the id of the job of an event with deferred effects; no key of that name
    wb:record:<record>           text: digest, version, types, fields of the last decided state (`last_state`)
    wb:open, wb:dead, wb:ended   sorted sets of event ids by the moment they arrived, died, ended
    wb:wake                      tokens that idle workers block on
    wb:receipt:<worker>          the last claim's jobs, so that a claim whose answer was lost can be repeated
    wb:workers                   hash of heartbeats
    wb:rulebook, wb:rulebook:<version>   the version in force with its author, and every version's document (deflated)
    wb:rulebook:history, :retired        every publication, newest first; when versions went out of force
    wb:pauses                    hash of accounts that failed of late: rests until ms, failures in a row, rests in a row
    wb:probe:<account>           the call that finds out whether an account that rested lives again
    wb:flight:<account>, wb:rate:<account>   calls under way by when their place is free again; calls by second
    wb:token:<account>:<digest>  an access token that all pods share, and `:fetching` beside it who fetches one
    wb:poll:<source>             hash: the pass under way and its cursor; `:lock` beside it who polls
    wb:polled:<source>:<bucket>  hashes: what was last seen of each record, by its id
    wb:stream:<name>             what `publish` actions appended: event, rule and data of each entry
    wb:dead_jobs                 stream of arq jobs that are not ours and could not be run, with their bytes
    arq:queue, arq:job:*, arq:in-progress:*, arq:retry:*, arq:result:*   as arq 0.28 names them
"""

from msgspec import Struct


class Keys(Struct, frozen=True):
    """Key names under one prefix."""

    prefix: str
    queue: str

    def lane(self, record: str) -> str:
        """The lane of a record, which is also its job's id."""
        return f"{self.prefix}lane:{record}"

    def effects(self, event_id: str) -> str:
        """The id of the job that finishes an event's deferred effects."""
        return f"{self.prefix}effects:{event_id}"

    def delivery(self, event_id: str) -> str:
        """The event as it arrived."""
        return f"{self.prefix}delivery:{event_id}"

    def event(self, event_id: str) -> str:
        """Where the event stands."""
        return f"{self.prefix}event:{event_id}"

    def history(self, event_id: str) -> str:
        """What became of the event, line by line."""
        return f"{self.prefix}story:{event_id}"

    def named(self, name: str) -> str:
        """One of the keys there is only one of: open, dead, ended, wake, workers, rulebook."""
        return self.prefix + name
