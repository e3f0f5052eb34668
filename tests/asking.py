"""What answers of the site have in common."""

import json
from typing import Any


def problem_of(answer: Any, status: int) -> Any:
    """The problem document of an answer with that status."""
    assert answer.status_code == status, answer.data
    assert answer.content_type == "application/problem+json"
    problem = json.loads(answer.data)
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


def form(content: bytes, name: str = "file.txt") -> dict[str, Any]:
    """A form with one file in it, for a test client. (Its own forms leave temporary files behind.)"""
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--x--\r\n"
    return {"data": body, "content_type": "multipart/form-data; boundary=x"}
