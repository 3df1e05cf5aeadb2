"""Commands for operators. `main` finds them by entry point; `api_client` and `direct_client` reach the installation."""
