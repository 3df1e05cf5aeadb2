"""The benchmark: Waybill against what an expert would build instead, on the same work, in the same run.

`python -m tests.bench [--quick] [row …]` measures ratios, never a pass mark of seconds: all sides run alternately on
the same machine, each in processes of its own, and the medians are compared. See docs/benchmarks.md.

    __main__                    what is asked for, and the table
    stage, table                processes, cores and the store; rows as Markdown
    seeding, material, clock    filling the queues; deliveries, records and rules that all sides get; reading /proc
    load, stub                  the client; the platform and sink: raw protocols, so that they are not the limit
    rival_ingress, rival_worker, rival_job, rival_rules, rival_log   the other side: arq
    others, rival_celery, bullmq/   more other sides, installed for this alone: Celery, BullMQ on Node
    own_worker                  our worker, joined as `waybill worker` joins it
    row_…                       one row of the table each
"""
