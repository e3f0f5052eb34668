"""Errors as RFC 9457 problem+json, with what to do about them in `detail`."""

import json
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException


class Problem(Exception):
    """Raise it in a view; the caller gets it as JSON."""

    def __init__(
        self, status: int, detail: str, errors: list[dict[str, str]] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors

    def response(self) -> Response:
        body = {
            "type": "about:blank",  # RFC 9457 §4.2.1: no more than the status says
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        return Response(json.dumps(body), self.status, content_type="application/problem+json")


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
