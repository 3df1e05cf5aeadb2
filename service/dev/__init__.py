"""Development commands: embedded store, `waybill dev` and `waybill demo`. No pod imports this package."""
