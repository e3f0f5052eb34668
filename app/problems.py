"""Errors, with what to do about them: a page for people, RFC 9457 problem+json for programs."""

import json
from http import HTTPStatus

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException


class Problem(Exception):
    """Raise it in a view."""

    def __init__(
        self, status: int, detail: str, errors: list[dict[str, str]] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors

    def response(self) -> Response:
        title = HTTPStatus(self.status).phrase
        if for_people():
            page = render_template("problem.html", title=title, detail=self.detail)
            return Response(page, self.status, {"Vary": "Accept"}, content_type=HTML)
        body = {
            "type": "about:blank",  # RFC 9457 §4.2.1: no more than the status says
            "title": title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        kind = "application/problem+json"
        return Response(json.dumps(body), self.status, {"Vary": "Accept"}, content_type=kind)


HTML = "text/html; charset=utf-8"


def for_people() -> bool:
    """Whether the answer is for somebody who looks at it, as the request's Accept says; without one it is not."""
    wanted = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return request.method in ("GET", "HEAD") and wanted == "text/html"


def register(app: Flask) -> None:
    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return error.response()

    @app.errorhandler(HTTPException)
    def refusal(error: HTTPException) -> Response | HTTPException:
        if error.response is not None or error.code is None:
            return error
        response = Problem(error.code, error.description or "").response()
        for name, value in error.get_headers():
            if name not in response.headers:  # Allow of a 405, say; the body's own are ours
                response.headers[name] = value
        return response
