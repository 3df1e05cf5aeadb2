"""What a person may see and change of a running installation, by whichever door they come: admin API or command.

Both doors call these functions and show what they give, so that both answer alike. Roles are the doors' business; what
is shown to which sight, what is refused, and the audit line of every change are decided here.

- `places`       the stores, each with a name that holds no secret
- `audit`        who acts, and one `admin.changed` line for every change
- `wanted`       which events are meant, and where a page of them goes on
- `listing`      events of all indexes and stores, newest first, page by page, and what a search finds
- `views`        one event whole, with its body and effects shown as far as the viewer may see
- `replaying`    putting events back and discarding dead letters, one or all that are wanted, at a rate
- `quarantine`   rejected deliveries listed, shown, verified again, ingested, deleted
- `forgetting`   erasing a customer everywhere
- `installation` sources, platforms, stores, workers, polls
- `platform_reads`   asking a platform by hand
"""
