"""A stand-in for the four platforms, for people at a desk, the demo and tests: a real HTTP server with their answers.

server   starts it          app   joins the rest            doors    paths, credentials and errors of each platform
catalog  what it answers    faults what goes wrong on call  sink     what `http` actions sent      commands  the command

No pod imports it. Credentials are `TOKEN` everywhere, for Pexip Engage as client secret with any client id.
"""
