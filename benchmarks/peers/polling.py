"""Progress as it is usually shown: `update_state` in the task, a status route, a page that asks every two seconds."""

import os
from typing import Any

from celery.result import AsyncResult
from flask import Flask, render_template, request

from benchmarks.worker import app as celery

app = Flask(__name__, template_folder=".")


@app.get("/")
def page() -> str:
    return render_template("polling.html", task=request.args["task"])


@app.get("/status/<task>")
def status(task: str) -> dict[str, Any]:
    result: AsyncResult[Any] = AsyncResult(task, app=celery)
    return {"state": result.state, "info": result.info}


@app.get("/healthz")
def healthz() -> str:
    return str(os.getpid())
