"""`python -m service …` is the `waybill` command, for where its console script is not on the path."""

from service.cli.main import main

if __name__ == "__main__":
    main()
