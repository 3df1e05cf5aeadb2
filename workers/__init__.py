"""Worker: claims jobs from the queue, fetches records, evaluates rules, runs effects and writes log lines."""
