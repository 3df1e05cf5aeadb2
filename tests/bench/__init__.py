"""Benchmark: Waybill and comparable stacks, tuned, on the same work and in the same run.

`python -m tests.bench [--quick] [row …]` measures ratios, not absolute times. All sides run alternately on the same
machine, each in separate processes, and the medians are compared. See docs/explanation/benchmarks.md.

    __main__                    command line and table
    stage, table                processes, cores and the store; rows as Markdown
    seeding, material, clock    fill the queues; deliveries, records and rules for all sides; CPU time from /proc
    load, stub                  client; platform and sink: raw protocols, so that neither limits the result
    rival_ingress, rival_worker, rival_job, rival_rules, rival_log   the other side: arq
    others, rival_celery, bullmq/   further sides with separate installations: Celery, BullMQ on Node
    local_app                   webhook app in the process of the benchmark, with a store that answers at once
    own_worker                  worker of Waybill, built as `waybill worker` builds it
    row_…                       one row of the table each
"""
