"""A site with one page: the element with a task, and a list of others that run meanwhile."""

import os

from flask import Flask, render_template, request

from headway.flask import Headway

app = Flask(__name__, template_folder=".", static_folder=".", static_url_path="/static")
Headway(app, allow_anonymous=True)


@app.get("/")
def page() -> str:
    """`?task=` is shown in full; `?list=<run>-&count=500` are `<run>-0` to `<run>-499`, a line each."""
    prefix = request.args.get("list", "")
    listed = [f"{prefix}{number}" for number in range(request.args.get("count", 0, int))]
    return render_template("page.html", task=request.args.get("task"), listed=listed)


@app.get("/healthz")
def healthz() -> str:
    return str(os.getpid())
