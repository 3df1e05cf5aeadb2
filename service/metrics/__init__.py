"""Prometheus metrics, counted next to log lines and scraped at /metrics. Global per process, like the log.

- `instruments`   counters, histograms and gauges; an increment takes a fraction of a microsecond
- `families`      all metrics with labels and help texts
- `samples`       conversion to samples of prometheus_client; only `page` imports it
- `page`          the scraped page, with current queue statistics
"""
