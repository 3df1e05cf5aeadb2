"""The benchmark: Waybill against what an expert would build of arq, on the same work, in the same run.

`python -m tests.bench [--quick] [row …]` measures ratios, never a pass mark of seconds: both sides run alternately on
the same machine, each in processes of its own, and the medians are compared. See docs/benchmarks.md.

    __main__                    what is asked for, and the table
    stage, table                processes, cores and the store; rows as Markdown
    seeding, material, clock    filling the queues; deliveries, records and rules that both sides get; reading /proc
    load, stub                  the client; the platform and sink: raw protocols, so that they are not the limit
    rival_ingress, rival_worker, rival_job   the other side
    own_worker                  our worker, joined as `waybill work` joins it
    row_…                       one row of the table each
"""
