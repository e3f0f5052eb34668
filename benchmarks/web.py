"""The smallest site there can be with Headway, for `gunicorn -k gevent benchmarks.web:app`."""

import os

from flask import Flask

from headway.flask import Headway

app = Flask(__name__)
Headway(app, allow_anonymous=True)


@app.get("/healthz")
def healthz() -> str:
    return str(os.getpid())
