"""What a person at a terminal does with a running installation, beside configuring it.

- `opening`      the parts such a command needs, joined from the environment and waybill.yaml
- `quarantine_commands`   look at refused deliveries, and take the good ones in after a mistake is mended
- `send_command`, `templates`, `sending`   sign and post deliveries as a source's sender would
- `doctor_command`, `examination`   ask of everything that is configured whether it works
"""
