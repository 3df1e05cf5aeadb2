"""Pages of docs/ that are made from what the code is: `python -m service.dev.pages` writes them, a test compares them.

- `logs`            the log reference, from `service/log_schema.json`
- `configuration`   the configuration reference, from the settings and the structs of waybill.yaml
- `lnav`            the format file for lnav, from the log schema
"""
