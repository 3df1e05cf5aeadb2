"""Dashboards and alerts as data: `python -m service.dev.boards` writes them into helm/, a test compares them.

- `questions`   what a panel asks of the log lines, in no language
- `panels`      the one list of panels, row by row
- `logql`, `logsql`   a question in the words of Loki and of VictoriaLogs
- `grafana`     a dashboard's JSON
- `alerts`      what should wake somebody, for Prometheus and for Loki's ruler
"""
