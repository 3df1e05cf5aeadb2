"""The pod that runs jobs: claim a lane, fetch the record, decide by the rules, run the effects, tell it in the logs."""
