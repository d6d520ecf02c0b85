from ecd_tune.testing.postgres import postgres, postgres_url

__all__ = ["postgres", "postgres_url"]
