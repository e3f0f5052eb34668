"""The site of `handed.py`; its answers say which process gave them, and it soon forgets what nobody watches."""

import os

from flask import Response

from headway import hub
from tests.acceptance.handed import app

hub.IDLE_SECONDS = 1.0
hub.AUDIT_SECONDS = 2.0  # it forgets when it audits

__all__ = ["app"]


@app.after_request
def say_who(response: Response) -> Response:
    response.headers["X-Process"] = str(os.getpid())
    return response
