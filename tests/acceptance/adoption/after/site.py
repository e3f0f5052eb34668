"""The site: somebody logs in, starts a conversion, and the page asks every second how far it is."""

from flask import Flask, abort, render_template, session

from headway.flask import Headway

from .tasks import convert

app = Flask(__name__)
app.secret_key = "for the test only"
watching = Headway(app)
OWNERS: dict[str, str] = {}


@app.post("/login/<name>")
def login(name: str):
    session["user"] = name
    return {}


@app.get("/")
def page():
    return render_template("page.html")


@app.post("/documents/<int:document>/convert")
def start(document: int):
    task = convert.delay(document)
    OWNERS[task.id] = session.get("user")
    return {"task": task.id}, 202


def mine(task: str) -> str:
    if "user" not in session or OWNERS.get(task) != session["user"]:
        abort(404)
    return task


@app.get("/tasks/<task>/progress")
def progress(task: str):
    return watching.stream(mine(task))


@app.get("/healthz")
def healthy():
    return "ok"
