"""The numbers that alerts need, in the format of Prometheus: counted where a line is logged, read at /metrics.

- `instruments`   counters, histograms and gauges that cost a fraction of a microsecond
- `families`      every metric there is, with its labels and meaning
- `samples`       the instruments as samples of prometheus_client; only `page` imports it
- `page`          the text that Prometheus scrapes, with a fresh look at the store

Like the log, the numbers are one set per process: whoever tells something counts it, without being handed anything.
"""
