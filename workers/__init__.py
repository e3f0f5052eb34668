"""The Celery workers: a user of the library. They know nothing of the web frontend."""
