"""Bytes that no editor should send, to the installed server over stdio."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

MARK = b"marker_of_this_test"


def framed(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def request(request_id: int, method: str, params: bytes = b"null") -> bytes:
    head = b'{"jsonrpc": "2.0", "id": %d, "method": "%s", "params": ' % (
        request_id,
        method.encode(),
    )
    return framed(head + params + b"}")


def test_a_server_survives_what_is_malformed_and_logs_none_of_it(home: dict[str, str]) -> None:
    options = b'{"warmline": {"enable": false, "maxTokens": Infinity, "threads": %s, "model": "\\ud800%s"}}'
    options %= (b"9" * 5001, MARK)
    initialize = b'{"processId": null, "capabilities": {}, "initializationOptions": %s}' % options
    place = b'{"uri": "%s", "position": {"line": "%s", "character": 1e400}}' % (MARK, MARK)
    sent = [
        b"Content-Length: %s\r\n\r\n" % MARK,
        request(1, "initialize", initialize),
        framed(b'{"jsonrpc": "2.0", "method": "initialized"}'),
        framed(b"{" + MARK),
        request(2, "textDocument/inlineCompletion", place),
        request(3, "warmline/commentFirst", place),
        request(4, "workspace/executeCommand", b'{"command": "%s"}' % MARK),
        request(5, "warmline/context", b"[" * 5000 + b"]" * 5000),
        framed(b'{"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": %s}' % place),
        request(6, "warmline/statistics"),
        request(7, "shutdown"),
        framed(b'{"jsonrpc": "2.0", "method": "exit"}'),
    ]
    command = [sys.executable, "-m", "warmline_lsp", "lsp", "--verbose"]
    found = subprocess.run(
        command, input=b"".join(sent), env=home, capture_output=True, timeout=300, check=False
    )
    assert found.returncode == 0
    answers: dict[Any, list[Any]] = {}
    for part in found.stdout.split(b"Content-Length: ")[1:]:
        message = json.loads(part.partition(b"\r\n\r\n")[2])
        if "method" not in message:
            answers.setdefault(message["id"], []).append(message)
    assert {key: len(kept) for key, kept in answers.items()} == dict.fromkeys(
        [None, *range(1, 8)], 1
    )
    failed = {key for key, (answer,) in answers.items() if "error" in answer}
    assert failed == {None, 2, 3, 4, 5}
    assert MARK not in found.stderr
