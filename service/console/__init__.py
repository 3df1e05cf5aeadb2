"""What a person at a terminal does with a running installation, beside configuring it.

- `desk`         what can be asked of an installation; `direct` by its stores, `remote` by its admin API
- `reaching`     the options that choose the way, an open desk, and exit codes; `opening` the parts of the direct way
- `printing`, `event_printing`   JSON lines, tables, and lines with tabs
- `wanting`, `bulk`   which events are meant, and changing all of them at a rate
- `events_command`, `dead_letters_command`, `forget_command`   events, those that wait for a person, erasing a customer
- `store_command`, `sources_command`, `workers_command`, `polls_command`   how the installation fares
- `quarantine_commands`   look at refused deliveries, and take the good ones in after a mistake is mended
- `send_command`, `templates`, `sending`   sign and post deliveries as a source's sender would
- `doctor_command`, `examination`   ask of everything that is configured whether it works
"""
